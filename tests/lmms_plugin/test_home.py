"""Without HF_HOME, tasks of lmms-eval look for media where the plugin's do."""

import os
import subprocess
import sys

CODE = """
import lmms_eval.models
import lmms_eval.tasks.videochatgpt.utils as videochatgpt
import lmms_eval.tasks.video_detail_description.utils as video_detail
import lmms_eval.tasks.perceptiontest.val.utils as perceptiontest
import lmms_eval.tasks.mlvu.utils as mlvu
print(videochatgpt.cache_dir, video_detail.cache_dir, perceptiontest.cache_dir, mlvu.cache_dir_dev)
"""


def test_modules_of_tasks_can_be_imported_and_agree(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "HF_HOME"}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**environment, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = done.stdout.splitlines()[-1].split()
    names = ("videochatgpt/Test_Videos", "videochatgpt/Test_Videos", "perceptiontest_val/videos", "mlvu")
    assert found == [str(tmp_path / ".cache" / "huggingface" / name) for name in names]
