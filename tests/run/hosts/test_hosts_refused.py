"""Hosts that cannot take part: one clear sentence each, and nothing is made."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_model import write_tiny_recipe
from two_hosts import ROOT, TwoHosts


@pytest.fixture(scope="module")
def recipe(hosts: TwoHosts) -> Path:
    model = hosts.folder / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama", "architectures": []}')
    more = "use_cpu: true\nlearning_rate: 1.0e-4\n"
    path = write_tiny_recipe(hosts.folder / "tiny.yaml", model, stages=("sft",))
    path.write_text(path.read_text().replace("learning_rate: 1.0e-2\n", more))
    return path


def refusal(hosts: TwoHosts, recipe: Path, names: str, code: int = 1, **environment: str) -> str:
    """What a command says that must not start a run."""
    done = hosts.workbench("run", str(recipe), "--hosts", names, "--detach", **environment)
    assert done.returncode == code, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    runs = hosts.folder / "home" / "runs"
    assert not runs.exists() or not list(runs.iterdir())
    return done.stderr


def test_a_name_that_nobody_has(hosts: TwoHosts, recipe: Path) -> None:
    said = refusal(hosts, recipe, "hosta,nowhere.invalid")
    assert "there is no host of the name nowhere.invalid" in said


def test_nothing_listens(hosts: TwoHosts, recipe: Path, tmp_path: Path) -> None:
    config = hosts.ssh_config.read_text().replace("Port 22", "Port 23")
    (tmp_path / "config").write_text(config)
    ssh = f"ssh -F {tmp_path}/config"
    said = refusal(hosts, recipe, "hosta,hostb", DPO_WORKBENCH_SSH=ssh)
    assert "host hostb refuses the connection" in said


def test_a_host_that_does_not_answer(hosts: TwoHosts, recipe: Path) -> None:
    hosts.a.link("down")
    try:
        said = refusal(hosts, recipe, "hosta,hostb")
    finally:
        hosts.a.link("up")
    assert "host hostb does not answer" in said


def test_a_key_that_the_host_does_not_take(hosts: TwoHosts, recipe: Path, tmp_path: Path) -> None:
    config = hosts.ssh_config.read_text().replace("user_key", "other_key")
    (tmp_path / "config").write_text(config)
    ssh = f"ssh -F {tmp_path}/config"
    said = refusal(hosts, recipe, "hosta,hostb", DPO_WORKBENCH_SSH=ssh)
    assert "host hostb does not let ssh in without a password" in said
    assert "ssh-copy-id hostb" in said


def test_a_host_whose_key_has_changed(hosts: TwoHosts, recipe: Path) -> None:
    hosts.know("other_key")
    try:
        said = refusal(hosts, recipe, "hosta,hostb")
    finally:
        hosts.know("host_key")
    assert "the key of host hostb is not the one that ssh knows" in said


def test_a_host_whose_key_nobody_knows(hosts: TwoHosts, recipe: Path) -> None:
    known = hosts.folder / "known_hosts"
    kept = known.read_text()
    known.write_text("")
    try:
        said = refusal(hosts, recipe, "hosta,hostb")
    finally:
        known.write_text(kept)
    assert "ssh does not know the key of host hostb yet" in said


def test_a_host_with_another_version(hosts: TwoHosts, recipe: Path, tmp_path: Path) -> None:
    other = tmp_path / "__init__.py"
    other.write_text('__version__ = "0.0.1"\n')
    here = ROOT / "workbench" / "__init__.py"
    with hosts.b.covered(here, by=other):
        said = refusal(hosts, recipe, "hosta,hostb")
    assert "host hostb has other versions: dpo-workbench 0.0.1 there" in said


def test_a_host_without_the_model(hosts: TwoHosts, recipe: Path) -> None:
    text = recipe.read_text()
    model = hosts.folder / "elsewhere" / "model"
    shutil.copytree(hosts.folder / "model", model)
    recipe.write_text(text.replace(str(hosts.folder / "model"), str(model)))
    try:
        with hosts.b.covered(model.parent):
            said = refusal(hosts, recipe, "hosta,hostb")
    finally:
        recipe.write_text(text)
    assert f"host hostb lacks {model}" in said


def test_a_python_that_is_not_there(hosts: TwoHosts, recipe: Path) -> None:
    with hosts.b.covered(Path(sys.executable).parent):
        said = refusal(hosts, recipe, "hosta,hostb")
    assert "host hostb has no Python where this host has it" in said
    assert sys.executable in said


def test_one_machine_with_two_names(hosts: TwoHosts, recipe: Path) -> None:
    config = hosts.ssh_config.read_text()
    again = config.replace("Host hostb", "Host again")
    hosts.ssh_config.write_text(config + again)
    try:
        said = refusal(hosts, recipe, "hosta,hostb,again")
    finally:
        hosts.ssh_config.write_text(config)
    assert "host again is the same machine as hostb" in said


def test_the_first_is_another_host(hosts: TwoHosts, recipe: Path) -> None:
    said = refusal(hosts, recipe, "hostb,hosta", code=2)
    assert "the first of the hosts must be this one, hosta, and hostb is another" in said


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("hosta", "a run on several hosts needs their names"),
        ("hosta,-oProxyCommand=touch", "this is no name of a host"),
        ("hosta,b;reboot", "this is no name of a host"),
        ("hosta,hostb,hostb", "a host is there twice: hostb"),
    ],
)
def test_names_that_are_none(hosts: TwoHosts, recipe: Path, names: str, said: str) -> None:
    assert said in refusal(hosts, recipe, names, code=2)


def test_a_place_of_its_own(hosts: TwoHosts, recipe: Path) -> None:
    text = recipe.read_text()
    recipe.write_text(f"{text}num_machines: 2\nmachine_rank: 1\n")
    try:
        said = refusal(hosts, recipe, "hosta,hostb", code=2)
        recipe.write_text(f"{text}main_process_ip: 10.99.0.1\n")
        other = refusal(hosts, recipe, "hosta,hostb")
    finally:
        recipe.write_text(text)
    assert "machine_rank: 1 is for starting each host by hand" in said
    assert "main_process_ip: 10.99.0.1 is no address of this host" in other


def test_no_ssh_at_all(hosts: TwoHosts, recipe: Path) -> None:
    said = refusal(hosts, recipe, "hosta,hostb", DPO_WORKBENCH_SSH="/nowhere/ssh")
    assert "/nowhere/ssh cannot be started: No such file or directory" in said
    said = refusal(hosts, recipe, "hosta,hostb", code=2, DPO_WORKBENCH_SSH="ssh 'a")
    assert "DPO_WORKBENCH_SSH: it cannot be read" in said


def test_a_port_that_is_taken(hosts: TwoHosts, recipe: Path) -> None:
    listen = (
        "import socket,sys;s=socket.create_server(('',29511));print('up',flush=True);s.accept()"
    )
    command = hosts.a.command(sys.executable, "-c", listen)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        listed = recipe.read_text()
        recipe.write_text(f"{listed}main_process_port: 29511\n")
        try:
            said = refusal(hosts, recipe, "hosta,hostb")
        finally:
            recipe.write_text(listed)
            other.kill()
    assert "main_process_port: port 29511 cannot be had: Address already in use" in said
