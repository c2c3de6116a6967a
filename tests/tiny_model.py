"""A language model of a few thousand weights, its data and its recipes, made on the spot.

Nothing here is downloaded. The functions are plain, so that any test can make what it needs.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SUBJECTS = ("tea", "rain", "bread", "maps", "trains", "bees", "clocks", "rivers")
QUESTIONS = (
    "What is {}?",
    "Tell me about {}.",
    "Why do people like {}?",
    "How would you explain {} to a child?",
)


def make_tiny_model(folder: Path, *, seed: int = 7) -> Path:
    """Write a random two-layer Llama (fp32) with a ChatML tokenizer; returns the folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=tokenizer.convert_tokens_to_ids("<|im_start|>"),
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.2,
    )
    model = LlamaForCausalLM(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_tokenizer() -> object:
    """A byte-level BPE tokenizer, trained on this module's sentences."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [text for row in preference_rows(32) for text in (row["chosen"], row["rejected"])]
    tokenizer.train_from_iterator((json.dumps(text) for text in texts), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
        model_max_length=512,
    )


def preference_rows(count: int) -> list[dict[str, list[dict[str, str]]]]:
    """Conversational preference rows: a short answer over a long-winded one."""
    rows = []
    for index in range(count):
        subject = SUBJECTS[index % len(SUBJECTS)]
        question = QUESTIONS[index // len(SUBJECTS) % len(QUESTIONS)].format(subject)
        short = f"{subject.capitalize()}: simple, good, and part of every day."
        long = f"Well, {subject}, that is hard to say, it depends on many things, number {index}."
        rows.append(
            {
                "prompt": [{"role": "user", "content": question}],
                "chosen": [{"role": "assistant", "content": short}],
                "rejected": [{"role": "assistant", "content": long}],
            }
        )
    return rows


def write_tiny_data(folder: Path, *, pairs: int = 24) -> None:
    """Write prefs.jsonl (prompt, chosen, rejected) and sft.jsonl (prompt, completion)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = preference_rows(pairs)
    sft = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in rows]
    for name, content in (("prefs.jsonl", rows), ("sft.jsonl", sft)):
        lines = [json.dumps(row) for row in content]
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


SHARED = """\
model_name_or_path: {model}
dtype: float32
use_peft: true
lora_r: 4
lora_alpha: 8
lora_dropout: 0.0
lora_target_modules: [q_proj, v_proj]
per_device_train_batch_size: 4
logging_steps: 1
save_steps: 2
max_steps: {steps}
learning_rate: 1.0e-2
lr_scheduler_type: constant
max_length: 128
gradient_checkpointing: false
"""


def write_tiny_recipe(
    path: Path,
    model: Path,
    *,
    stages: tuple[str, ...] = ("sft", "dpo"),
    steps: int = 4,
    more: str = "",
) -> Path:
    """Write a recipe of two stages, or a flat TRL config of one, with its data beside it.

    Args:
        more: further YAML lines at the top level.
    """
    write_tiny_data(path.parent / "data")
    text = SHARED.format(model=model, steps=steps) + more
    data = {
        "sft": "datasets: [{path: json, data_files: data/sft.jsonl}]\ncompletion_only_loss: true\n",
        "dpo": (
            "datasets: [{path: json, data_files: data/prefs.jsonl}]\n"
            "test_split_size: 0.25\neval_strategy: steps\neval_steps: 100\nbeta: 0.1\n"
        ),
    }
    if len(stages) == 1:
        text += data[stages[0]]
    else:
        text = "title: Tiny\ndescription: Two stages on a tiny model.\n" + text
        for stage in stages:
            text += f"{stage}:\n" + textwrap.indent(data[stage], "  ")
        text += "probe_prompts:\n  - What is tea?\n  - Why do people like rain?\n"
    path.write_text(text, encoding="utf-8")
    return path
