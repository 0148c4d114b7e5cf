import json

import pytest

from tests.audit.test_survey import survey_of_the_thesis
from tests.cli.command import masquerade


def test_rates_with_intervals(tmp_path):
    path = tmp_path / "answers.csv"
    rows = [",".join(f'"{cell}"' for cell in (*row, "Somebody")) for row in survey_of_the_thesis()]
    path.write_text("participant,image,condition,answer,truth\n" + "\n".join(rows))
    said = masquerade("survey", path)
    assert said.code == 0, said
    assert "35.7 % (25.5–47.4), 25/70" in said.out and "40.0 % (" in said.out
    told = json.loads(masquerade("survey", path, "--json").out)
    assert told[0]["condition"] == "anonymized, full body"
    assert (told[0]["recognised"]["hits"], told[0]["right"]["hits"], told[0]["right"]["of"]) == (25, 25, 70)
    assert told[0]["recognised"]["low"] == pytest.approx(0.255, abs=1e-3)


def test_no_such_file(tmp_path):
    masquerade("survey", tmp_path / "none.csv").refused("bad-input", "none.csv", "no such file")
