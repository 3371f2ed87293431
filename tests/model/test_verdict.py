# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

from mlatem.model import Decision, Verdict


def test_decisions_and_verdicts_survive_json():
    decision = Decision("denoise", "5 axes", "edge at 1.02", "denoise.rank")
    verdict = Verdict("deviance per dof", 1.3, 2.0, "", "good", "The model fits.")
    assert Decision(**json.loads(json.dumps(decision.to_dict()))) == decision
    assert Verdict(**json.loads(json.dumps(verdict.to_dict()))) == verdict
