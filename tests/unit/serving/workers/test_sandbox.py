"""What a worker cannot do any more once it is confined; each in a process of its own."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

HEAD = """
    import os, socket, subprocess, sys, threading
    from pathlib import Path
    from oryx.serving.workers.sandbox import MemoryLimit, confine, limit_process, program_folders
"""


def run(body: str, *args: str) -> subprocess.CompletedProcess[str]:
    code = textwrap.dedent(HEAD) + textwrap.dedent(body)
    return subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60, check=False
    )


def has_landlock() -> bool:
    return run("print(confine([]))").stdout.strip() == "True"


needs_landlock = pytest.mark.skipif(not has_landlock(), reason="the kernel has no Landlock")


@needs_landlock
def test_only_what_is_readable_is_read_and_nothing_is_written(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("a")
    (tmp_path / "out").write_text("secret")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    done = run(
        """
        root = Path(sys.argv[1])
        assert confine([*program_folders(), root / "in", root / "missing"])
        assert (root / "in" / "a").read_text() == "a"
        assert sorted(os.listdir(root / "in")) == ["a", "link"]
        import colorsys  # modules can still be imported
        def refused(call):
            try:
                call()
            except PermissionError:
                return
            raise AssertionError("it could")
        def elsewhere():
            refused(lambda: (root / "out").read_text())
            refused(lambda: (root / "in" / "link").read_text())
            refused(lambda: os.listdir(root))
            refused(lambda: open("/etc/passwd"))
            refused(lambda: open("/proc/self/environ"))
            refused(lambda: (root / "in" / "b").write_text("b"))
            refused(lambda: (root / "in" / "a").write_text("b"))
            refused(lambda: (root / "in" / "a").unlink())
            refused(lambda: os.rename(root / "in" / "a", root / "in" / "c"))
        elsewhere()
        failed = []
        def in_thread():
            try:
                elsewhere()
            except BaseException as error:
                failed.append(error)
        thread = threading.Thread(target=in_thread)
        thread.start()
        thread.join()
        assert not failed, failed
        print("done")
        """,
        str(tmp_path),
    )
    assert done.stdout == "done\n", done.stderr


@needs_landlock
def test_no_program_is_run_and_nobody_is_connected_to():
    done = run(
        """
        server = socket.create_server(("127.0.0.1", 0))
        assert confine([*program_folders(), Path("/usr/bin"), Path("/bin")])
        for call in (
            lambda: subprocess.run(["/bin/true"]),
            lambda: socket.create_connection(server.getsockname()),
            lambda: socket.create_server(("127.0.0.1", 0)),
        ):
            try:
                call()
            except PermissionError:
                continue
            raise AssertionError("it could")
        print("done")
        """
    )
    assert done.stdout == "done\n", done.stderr


def test_a_job_has_its_memory_and_no_more():
    done = run(
        """
        held = bytearray(200_000_000)
        limit = MemoryLimit(50_000_000)
        for _ in range(2):
            limit.begin()
            bytearray(40_000_000)
            try:
                bytearray(60_000_000)
            except MemoryError:
                pass
            else:
                raise AssertionError("it could")
        kept = bytearray(20_000_000)
        assert not limit.is_worn()
        more = bytearray(10_000_000)
        assert limit.is_worn()
        limit.begin()  # of what is held now
        bytearray(40_000_000)
        print("done")
        """
    )
    assert done.stdout == "done\n", done.stderr


def test_no_core_files_few_files_and_short_ones(tmp_path: Path):
    done = run(
        """
        import resource
        limit_process(1000)
        limit_process(2000)  # nothing goes up again
        assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= 256
        file = os.memfd_create("a")
        assert os.write(file, bytes(1500)) == 1000
        print("done")
        """
    )
    assert done.stdout == "done\n", done.stderr
