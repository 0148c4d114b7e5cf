"""What a training run wrote, and a run that is killed."""

import json
from unittest import mock

import pytest

from masquerade.train import engine


def log(folder):
    """The lines of a run's log, but for the time."""
    lines = [json.loads(line) for line in (folder / engine.LOG).read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "time"} for line in lines]


def kill(train):
    """Runs `train`, and kills it while it saves for the third time."""
    save, saved = engine._save, []

    def stop(*state):
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(save(*state))

    with mock.patch.object(engine, "_save", stop), pytest.raises(KeyboardInterrupt):
        train()
