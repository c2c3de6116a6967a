"""The names that people give to columns and keys; of several, the first is taken."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PROMPT = _words(
    "prompt prompt_text question instruction query problem user_prompt user_input user_message "
    "prompt_text_column user input input_text source_text post title context"
)
SYSTEM = _words("system system_prompt system_message system_text")
HISTORY = _words("history")
INPUT = _words("input context")
COMPLETION = _words(
    "completion answer response output reply assistant target solution final_answer "
    "completion_text response_text output_text answer_text"
)
CONVERSATION = _words("messages conversations conversation dialog dialogue turns")

# Pairs: a word of each side, alone or with the same noun before or behind it.
BETTER = _words("chosen preferred accepted winner winning win better best positive pos good")
WORSE = _words(
    "rejected reject dispreferred non_preferred nonpreferred not_preferred unpreferred loser "
    "losing lose worse worst negative neg bad"
)
NOUNS = _words(
    "response answer output text message messages conversation conversations completion summary "
    "reply content text_column"
)

# Two answers side by side.
ANSWER_WORDS = _words(
    "output outputs response answer completion reply summary text candidate generation solution "
    "conversation message assistant ref comment continuation story"
)
SCORE_WORDS = _words("score rating reward points rank grade winner")
LABEL = _words(
    "label labels winner preference preferred choice better better_response_id better_response "
    "better_answer better_id chosen_index chosen_id chosen overall_preference preference_label "
    "human_preference preference_strength verdict preferred_id safer_response_id"
)
TIES = _words("tie ties tied both neither equal same none draw bothbad")
THUMBS = _words("label kto_tag thumbs_up thumb is_good desirable upvoted liked")

# Lists of answers.
ANSWER_LISTS = _words(
    "responses completions candidates answers generations outputs solutions replies"
)
RATINGS = _words("ratings rating scores score rewards ranks rank ranking")
ORDERED = _words("ranked_responses ranked_answers ranked_completions ranked_outputs")
PROMPT_LISTS = _words("turns prompts questions")

# Keys of one answer in a list.
ANSWER_TEXT = _words(
    "text response content output answer completion generation value solution message messages"
)
VERDICTS = _words("is_correct correct is_good label")
SCORES = _words(
    "rank overall_score score rating overall_rating reward pm_score preference_score quality "
    "points upvotes fine_grained_score"
)

RANKS = ("rank", "ranks", "ranking")
"""Where lower is better."""
