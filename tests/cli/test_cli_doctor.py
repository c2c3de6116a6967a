"""doctor: findings from versions, programs and folders that the test supplies."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from nvml_stub import GIGA, Device, Nvml

from workbench.base.paths import Paths
from workbench.cli import doctor, main
from workbench.cli.doctor import Finding, examine, fits
from workbench.run.gpus import Gpu, GpuView
from workbench.run.machine.cgroups import MemoryLimit

Capture = pytest.CaptureFixture[str]


def finding(paths: Paths, name: str) -> Finding:
    return next(found for found in examine(paths) if found.name == name)


@pytest.fixture
def no_device_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "visible_slots", lambda environ: ["cpu"])


def test_every_line_is_ok_or_says_what_to_do(home: Path, capsys: Capture) -> None:
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for number, line in enumerate(lines):
        assert line.startswith(("ok       ", "warning  ", " " * 9))
        if line.startswith("warning"):
            assert lines[number + 1].startswith(" " * 9)


def test_doctor_as_json(home: Path, capsys: Capture) -> None:
    assert main(["doctor", "--json"]) == 0
    findings = {found["name"]: found for found in json.loads(capsys.readouterr().out)}
    assert findings["python"]["state"] == "ok"
    assert str(home) in findings["runs"]["value"]
    assert {"torch", "cpu", "memory", "terminal", "network"} <= set(findings)


@pytest.mark.parametrize(
    ("version", "wanted", "good"),
    [
        ("2.13.0+cpu", ">=2.10,<2.14", True),
        ("2.14.0", ">=2.10,<2.14", False),
        ("2.9.1", "<2.14,>=2.10", False),
        ("6.0", ">=6", True),
        ("5.99", ">=6", False),
        ("8.2.8", "", True),
        ("1.0", "!=1.0", True),
    ],
)
def test_version_ranges(version: str, wanted: str, good: bool) -> None:
    assert fits(version, wanted) is good


@pytest.mark.parametrize(
    ("version", "value", "step"),
    [
        ("", "not installed", "-m pip install 'plotext>=5.3.2,<6'"),
        ("6.1.0", "6.1.0, tested is >=5.3.2,<6", "-m pip install 'plotext>=5.3.2,<6'"),
        ("5.3.2", "5.3.2", ""),
    ],
)
def test_a_package_of_the_stack(
    version: str, value: str, step: str, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_version", lambda _: version)
    monkeypatch.setattr(doctor, "_wanted", lambda _: ">=5.3.2,<6")
    found = finding(paths, "plotext")
    assert (found.state, found.value) == ("warning" if step else "ok", value)
    assert found.next_step.endswith(step)


def test_the_declared_ranges_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = ["torch<2.14,>=2.10", "plotext (>=5.3.2)", "torchao>=1; extra == 'x'", "rich"]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: declared)
    assert doctor._wanted("torch") == "<2.14,>=2.10"
    assert doctor._wanted("plotext") == ">=5.3.2"
    assert doctor._wanted("torchao") == ""
    assert doctor._wanted("rich") == ""


def without_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)


def test_no_gpu_is_a_warning_with_a_way_on(
    paths: Paths, no_device_files: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_nvml(monkeypatch)
    found = finding(paths, "gpu")
    assert found.state == "warning"
    assert found.value == "none seen: nvidia-ml-py is not installed"
    assert found.next_step == ("Training runs on the CPU: the quickstart recipe is made for that.")


def test_a_gpu_that_nobody_can_ask(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    without_nvml(monkeypatch)
    monkeypatch.setattr(doctor, "visible_slots", lambda environ: ["cuda:0"])
    monkeypatch.setattr(doctor, "_version", lambda _: "2.13.0+cpu")
    found = finding(paths, "gpu")
    assert found.value == "no GPU data: nvidia-ml-py is not installed"
    assert found.next_step.endswith("-m pip install nvidia-ml-py")
    assert finding(paths, "torch build").value == "for CPUs only, but there is a GPU"


def test_gpus_are_listed_with_what_is_free_and_who_uses_it(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    Nvml(
        Device(used=61 * GIGA, compute=[(2**22 + 1, 60 * GIGA)]),
        Device("MIG GPU", total=-1, used=-1, load=None),
    ).install(monkeypatch)
    monkeypatch.setattr(doctor, "_version", lambda _: "2.13.0+cpu")
    assert finding(paths, "gpu 0").value == (
        "NVIDIA Big, 80 GB, 19 GB free, load 7 %, used by pid 4194305 (60 GB), driver 570.1"
    )
    found = finding(paths, "gpu 1")
    assert (found.state, found.value) == (
        "warning",
        "MIG GPU, no GPU data: it does not tell its memory",
    )
    assert finding(paths, "torch build").value == "for CPUs only, but there is a GPU"


def test_warmth_and_power_are_told(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    Nvml(Device(celsius=64, milliwatts=310_400, limit_milliwatts=700_000)).install(monkeypatch)
    assert ", load 7 %, 64 °C, 310 of 700 W, driver" in finding(paths, "gpu 0").value


def test_an_amd_gpu_and_nvidias_that_nobody_can_ask(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, no_device_files: None
) -> None:
    view = GpuView((Gpu(0, name="Radeon", total_bytes=GIGA, kind="amd"),), reason="no way")
    monkeypatch.setattr(doctor, "look", lambda seconds: view)
    monkeypatch.setattr(doctor, "_version", lambda _: "2.13.0+cpu")
    assert finding(paths, "amd:0").value == "Radeon, 1 GB"
    assert finding(paths, "gpu").value == "no GPU data: no way"
    assert finding(paths, "torch build").state == "ok"


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus_are_told(hidden: str, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    Nvml(Device()).install(monkeypatch)
    monkeypatch.setattr(doctor, "_version", lambda _: "2.13.0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert finding(paths, "torch build").value == "CUDA_VISIBLE_DEVICES hides every GPU"


def test_a_memory_limit_of_the_container_counts(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = MemoryLimit(1_000_000_000, 800_000_000)
    monkeypatch.setattr("workbench.run.machine.host.memory_limit", lambda *_: limit)
    found = finding(paths, "memory")
    assert (found.state, found.value) == ("warning", "1 GB, 800 MB free")


def test_a_full_disk_is_a_warning(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(total=1, used=1, free=10**9)
    monkeypatch.setattr("workbench.run.machine.host.shutil.disk_usage", lambda _: usage)
    found = finding(paths, "runs")
    assert found.state == "warning"
    assert found.value == f"{paths.runs}, 1 GB free"


def test_a_token_is_only_told_as_present(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = finding(paths, "model hub")
    assert found.value.endswith("logged in, HF_HUB_OFFLINE is set")
    assert "secret" not in str(examine(paths))


def test_a_runs_folder_that_others_may_enter(paths: Paths) -> None:
    paths.runs.mkdir(parents=True, mode=0o755)
    paths.runs.chmod(0o755)
    finding = doctor._private(paths.runs)
    assert (finding.state, finding.next_step) == ("warning", f"chmod -R go-rwx {paths.runs}")
    paths.runs.chmod(0o700)
    assert doctor._private(paths.runs).state == "ok"


def test_a_runs_folder_on_a_network_file_system(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n")
    assert doctor.file_system(tmp_path / "runs", mounts) == "nfs4"
    assert doctor.file_system(Path("/"), mounts) == "ext4"
    assert doctor.file_system(tmp_path, tmp_path / "none") == ""


def test_a_logout_that_ends_all_processes(tmp_path: Path) -> None:
    folder = tmp_path / "etc/systemd/logind.conf.d"
    folder.mkdir(parents=True)
    (tmp_path / "etc/systemd/logind.conf").write_text("[Login]\n#KillUserProcesses=yes\n")
    assert doctor._lingering(tmp_path).state == "ok"
    (folder / "site.conf").write_text("[Login]\nKillUserProcesses=yes\n")
    finding = doctor._lingering(tmp_path)
    assert finding.state == "warning"
    assert "loginctl enable-linger" in finding.next_step
