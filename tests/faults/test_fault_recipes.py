"""Recipe files with a fault: `check` names file, line and cure, and no file is changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.base.paths import Paths
from workbench.cli import main
from workbench.recipe.checks import check, errors
from workbench.recipe.recipe import load_recipe

HEAD = "model_name_or_path: org/model\ndataset_name: org/pairs\nuse_peft: true\n"
PLACE = "bad.yaml:4:1: "


@dataclass(frozen=True)
class Checked:
    """What a command has said."""

    code: int
    text: str


@pytest.fixture
def check_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Checked]:
    """Write a recipe, run `check` and then `run` on it, and return what `check` said."""
    monkeypatch.setenv("DPO_WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "bad.yaml"

    def run(*arguments: str) -> Checked:
        code = main(list(arguments))
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Checked(code, said.out + said.err)

    def check_it(content: bytes | str, *, launch: bool = True) -> Checked:
        content = content if isinstance(content, bytes) else content.encode()
        file.write_bytes(content)
        checked = run("check", "bad.yaml")
        if launch and checked.code != 0:
            launched = run("run", "bad.yaml", "--detach")
            assert launched.code in (1, 2)
            assert [*(tmp_path / "home").rglob("run.json")] == []
        assert file.read_bytes() == content
        return checked

    return check_it


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"\tbeta: 1", "bad.yaml:4:1: this is not valid YAML: a tab stands where only spaces can"),
        (
            b"datasets:\n\t- a",
            "bad.yaml:5:1: this is not valid YAML: a tab stands where only spaces can",
        ),
        (b"beta: 0.1 \x00", "bad.yaml:4:11: the character U+0000 is not allowed in YAML"),
        (b"beta: [0.1, 0.2\nlora_r: 8", "bad.yaml:5:7: this is not valid YAML"),
        (b"beta: 'a", "bad.yaml:5:1: this is not valid YAML: found unexpected end of stream"),
        (b"beta: \xff", "it is not UTF-8 text (byte "),
    ],
)
def test_a_file_that_is_no_yaml(check_file: Callable[..., Checked], line: bytes, said: str) -> None:
    """Row 1."""
    checked = check_file(HEAD.encode() + line + b"\n")
    assert checked.code == 1
    assert said in checked.text


def test_a_byte_order_mark_is_no_fault(check_file: Callable[..., Checked]) -> None:
    """Row 1: places behind it count without it."""
    assert check_file(b"\xef\xbb\xbf" + HEAD.encode()).code == 0
    assert "bad.yaml:1:1: there is no setting bata" in check_file("\ufeffbata: 1\n" + HEAD).text


def test_a_key_that_stands_twice(check_file: Callable[..., Checked]) -> None:
    """Row 2."""
    checked = check_file(HEAD + "beta: 0.1\nlora_r: 8\nbeta: 0.2\n")
    assert checked.code == 1
    assert "bad.yaml:6:1: beta stands twice, first in line 4. Keep one of the two." in checked.text
    both = check_file(HEAD + "beta: much\nlora_r: 8\nbeta: 0.2\n")
    assert "stands twice" in both.text
    assert "bad.yaml:4:1: beta: 'much' is not a number" in both.text


def test_a_misspelt_key(check_file: Callable[..., Checked]) -> None:
    """Row 3."""
    checked = check_file(HEAD + "lerning_rate: 1.0e-5\n")
    assert checked.code == 1
    said = "there is no setting lerning_rate. Did you mean learning_rate?"
    assert PLACE + said in checked.text


def test_values_that_yaml_reads_otherwise(
    check_file: Callable[..., Checked], tmp_path: Path
) -> None:
    """Row 4."""
    text = HEAD + "max_length: 0123\nsave_steps: 1:30\nlearning_rate: 5e-6\neval_strategy: no\n"
    checked = check_file(text)
    assert checked.code == 0
    assert "bad.yaml:4:1: 0123 is the number 83 in YAML" in checked.text
    assert "bad.yaml:5:1: 1:30 is the number 90 in YAML" in checked.text
    recipe = load_recipe(tmp_path / "bad.yaml")
    assert recipe.get("learning_rate", "dpo") == 5e-6
    assert recipe.get("eval_strategy", "dpo") == "no"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("learning_rate: [1.0e-5, 2.0e-5]", "learning_rate: [1e-05, 2e-05] is not a number"),
        ("learning_rate: -1.0e-5", "learning_rate: -1e-05 is not above 0"),
        ("learning_rate: 0", "learning_rate: 0 is not above 0"),
        ("learning_rate: .nan", "learning_rate: nan is not a finite number"),
        ("learning_rate: .inf", "learning_rate: inf is not a finite number"),
        ("learning_rate: -.inf", "learning_rate: -inf is not a finite number"),
        ("learning_rate: 1e30", "learning_rate: 1e+30 is above 1"),
        (f"learning_rate: {'9' * 400}", "is not a finite number"),
        ("beta: 0", "beta: 0 is not above 0"),
        ("lora_r: 0", "lora_r: 0 is not above 0"),
        ("lora_r: -8", "lora_r: -8 is not above 0"),
    ],
)
def test_numbers_out_of_range(check_file: Callable[..., Checked], line: str, said: str) -> None:
    """Row 5."""
    checked = check_file(f"{HEAD}{line}\n")
    assert checked.code == 1
    (told,) = [one for one in checked.text.splitlines() if one.startswith(PLACE)]
    assert said in told
    assert "Write " in told


@settings(max_examples=60, deadline=None)
@given(
    value=st.one_of(
        st.floats(max_value=0.0),
        st.floats(min_value=1.0, exclude_min=True),
        st.lists(st.floats(), max_size=2),
        st.just(float("nan")),
    )
)
def test_no_learning_rate_out_of_range_passes(value: object) -> None:
    """Row 5."""
    text = repr(value).replace("nan", ".nan").replace("inf", ".inf")
    recipe = load_recipe(Path("bad.yaml"), text=f"{HEAD}learning_rate: {text}\n")
    problems = errors(check(recipe, Paths.from_environment({"DPO_WORKBENCH_HOME": "/nowhere"})))
    assert [problem.where for problem in problems] == ["bad.yaml:4:1"]
    assert problems[0].what.startswith("learning_rate: ")


@pytest.mark.parametrize(
    ("line", "said", "allowed"),
    [
        ("loss_type: sigmoidd", "loss_type: there is no sigmoidd", "Did you mean sigmoid? Allowed"),
        ("loss_type: [hinge, ipa]", "loss_type: there is no ipa", "Did you mean ipo? Allowed"),
        ("eval_strategy: often", "eval_strategy: there is no often", "Allowed: no, steps, epoch."),
    ],
)
def test_a_word_that_is_none_of_the_allowed(
    check_file: Callable[..., Checked], line: str, said: str, allowed: str
) -> None:
    """Row 6."""
    checked = check_file(f"{HEAD}{line}\n")
    assert checked.code == 1
    assert PLACE + said in checked.text
    assert allowed in checked.text
    if line.startswith("loss_type"):
        for name in ("sigmoid", "hinge", "ipo", "exo_pair", "robust", "apo_zero", "discopop"):
            assert name in checked.text.partition("Allowed: ")[2]


@pytest.mark.parametrize(
    "tagged",
    [
        "model_name_or_path: !!python/object/apply:os.system [{command}]",
        "lora_target_modules: !!python/object/apply:os.system [{command}]",
        "title: !!python/object/apply:os.system [{command}]",
        "title: !!python/object/new:os.system [{command}]",
        "env: !!python/object/apply:os.system {{args: [{command}]}}",
        "title: !!python/name:os.system",
        "title: !!python/module:os",
        "- !!python/object/apply:os.system [{command}]",
        "!!python/object/apply:os.system {{args: [{command}]}}",
        "<<: !!python/object/apply:os.system [{command}]",
        "? !!python/object/apply:os.system [{command}]\n: 1",
    ],
)
def test_a_tag_that_would_run_code(
    check_file: Callable[..., Checked], tmp_path: Path, tagged: str
) -> None:
    """Row 8."""
    line = tagged.format(command=f"touch {tmp_path}/ran")
    checked = check_file(line + "\nlearning_rate: 1.0e-5\n")
    assert checked.code == 1
    assert "is refused: a recipe holds plain data only. Remove the tag." in checked.text
    if not line.startswith(("-", "!!")):
        checked = check_file(f"{HEAD}{line}\n")
        assert checked.code == 1
        assert "bad.yaml:4:" in checked.text
        assert "is refused: a recipe holds plain data only. Remove the tag." in checked.text
    assert not (tmp_path / "ran").exists()
