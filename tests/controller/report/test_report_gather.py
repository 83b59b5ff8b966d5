"""What a report gathers is what journal and step folders hold."""

import itertools
import shutil

import pytest
from report_lab import EVIL, ReportLab

from controller.lab import init_lab
from controller.report.gather import gather
from controller.report.referee import Verdict, ask_referee
from nextplate.errors import DataError, PlanError


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return ReportLab(tmp_path_factory.mktemp("report") / "lab").build()


@pytest.fixture(scope="module")
def campaign(lab):
    return gather(lab)


def test_head(campaign):
    assert (campaign.name, campaign.seed, campaign.state, campaign.n_library) == ("first", 1, "finished", 1200)
    assert campaign.started < campaign.ended
    assert len(campaign.head) == 64


def test_compounds_tested_twice_count_once(campaign):
    # 336 in round 1, 352 in round 2 of which C0007 was there before; 3 hits, then 22 of which C0007 again
    assert [(p.n_tested, p.n_called) for p in campaign.curve.points] == [(336, 3), (687, 24)]
    assert campaign.curve.steps[-1] == (687, 24)
    assert (campaign.curve.n_retested, campaign.curve.n_again) == (1, 1)


def test_steps_never_fall(campaign):
    steps = campaign.curve.steps
    assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in itertools.pairwise(steps))


def test_without_a_referee_chance_is_the_base_rate_of_picks_by_lot(campaign):
    curve, last = campaign.curve, campaign.curve.points[-1]
    assert not curve.has_referee
    assert last.random.value == pytest.approx(curve.by_lot.value * 687)
    assert last.random.low < last.random.value < last.random.high
    assert last.similarity.value is None
    assert "nobody knows the truth" in last.similarity.why
    assert curve.enrichment_true.why
    assert curve.by_model.value > curve.by_lot.value


def test_a_referee_gives_the_truth_in_aggregate(lab):
    def ask(_lab, _head, tested_by_round, called):
        assert [len(names) for names in tested_by_round] == [336, 352]
        assert EVIL in called
        told = {"n_true_hits": 20, "random_expected": 8.0, "random_sd": 2.0, "similarity_mean": 11.0}
        told |= {"similarity_sd": 1.0, "n_tested": 687}
        body = {"n_true_hits": 30, "n_seeds": 5, "rounds": [told, told], "origin": {"random": "drawn"}}
        return Verdict({**body, "confusion": {"n_right": 18, "n_called": 24}}, "")

    curve = gather(lab, ask).curve
    last = curve.points[-1]
    assert (last.n_true, curve.n_true_in_library) == (20, 30)
    assert (last.random.low, last.random.high) == (4.0, 12.0)
    assert (last.similarity.low, last.similarity.high) == (10.0, 12.0)
    assert curve.precision.value == pytest.approx(0.75)
    assert curve.enrichment_true.value == pytest.approx((20 / 687) / (30 / 1200))
    assert curve.origin["random"] == "drawn"


def test_hits_are_ranked_by_activity_with_an_error(campaign):
    best = campaign.hits[0]
    assert best.compound_id == EVIL
    assert "negatives" in best.activity.kind
    again = next(h for h in campaign.hits if h.compound_id == "C0007")
    assert (again.n_wells, again.n_hit_wells, again.pick.reason) == (2 + 1, 3, "cold-start")
    assert again.activity.kind == "± sd of 3 wells"
    activities = [h.activity.value for h in campaign.hits]
    assert activities == sorted(activities, reverse=True)


def test_the_chain_of_the_best_hit_goes_down_to_its_pixels(campaign, lab):
    chain = {link.what: link for link in campaign.hits[0].chain}
    links = ["campaign", "round", "plate", "well", "image", "measurement", "response", "belief", "calibration", "pick"]
    assert [link for link in links if link not in chain] == []
    assert chain["run"].value == "first.r1.run-0"
    assert chain["why"].value == f"{campaign.hits[0].compound_id}: {campaign.hits[0].pick.reason}, <b>because</b>"
    assert "5000 nl moved" in chain["transfer"].value
    images = [link for link in campaign.hits[0].chain if link.what == "image"]
    assert [(lab.folder / link.where).is_file() for link in images] == [True, True]
    assert all("sha256" in link.value for link in images)


def test_first_plate_has_no_belief_and_says_so(campaign):
    cold = next(h for h in campaign.hits if h.pick.round == 0)
    assert cold.pick.mean is None
    belief = next(link for link in cold.chain if link.what == "belief")
    assert "by lot" in belief.value
    first = campaign.rounds[0]
    assert first.rmse_picks.value is None
    assert "without a belief" in first.rmse_picks.why


def test_rounds(campaign):
    first, second, closing = campaign.rounds
    assert (first.n_loads, first.n_planned, first.n_moved, first.n_tips) == (1, 384, 383, 384)
    assert second.plate.quality.z_prime.low < second.plate.quality.z_prime.high
    assert second.plate.quality.z_prime_robust.value is None
    assert {c.group for c in second.coverage} == {"all", "exploit", "explore"}
    assert closing.plate is None
    assert closing.rmse_held_out.value == pytest.approx(0.08, rel=0.2)
    assert list(second.seconds) == ["fit", "calibrate", "pick", "layout", "compile", "check", "measure", "normalise",
                                    "evaluate"]  # fmt: skip


def test_what_went_wrong_is_told(campaign):
    kinds = [i.kind for i in campaign.incidents]
    assert {"decision", "device", "transfer", "image", "note"} <= set(kinds)
    assert any("0 of 5000 nl" in i.what for i in campaign.incidents)
    times = [i.time for i in campaign.incidents]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("answer", "verdict", "n_called"), [("use", "failed and used", 24), ("discard", "failed and discarded", 3)]
)
def test_a_failed_plate_counts_only_where_somebody_says_so(tmp_path, answer, verdict, n_called):
    campaign = gather(ReportLab(tmp_path / "lab", failed_plate=answer, with_images=False).build())
    assert campaign.rounds[1].plate.verdict == verdict
    assert campaign.curve.points[-1].n_called == n_called
    assert any(i.done == f"ann answered: {answer}" for i in campaign.incidents)


@pytest.mark.parametrize(("stop", "n_points"), [("pick", 1), ("run-0", 1), ("measure", 1), ("evaluate", 2)])
def test_an_unfinished_campaign_is_gathered_as_far_as_it_has_come(tmp_path, stop, n_points):
    campaign = gather(ReportLab(tmp_path / "lab", stop_before=stop, with_images=False).build())
    assert campaign.state == "running"
    assert len(campaign.curve.points) == n_points


def test_images_that_are_gone_are_said_to_be_gone(tmp_path):
    lab = ReportLab(tmp_path / "lab").build()
    shutil.rmtree(lab.folder / "readouts")
    campaign = gather(lab)
    assert campaign.plates[0].shots.shots == ()
    assert "readouts" in campaign.plates[0].shots.absent[0]
    assert any(link.value == "not found" for link in campaign.hits[0].chain)


def test_a_step_folder_that_is_gone_is_an_error_that_names_it(tmp_path):
    lab = ReportLab(tmp_path / "lab", with_images=False).build()
    shutil.rmtree(next((lab.folder / "measurements").glob("normalise-*")))
    with pytest.raises(DataError, match="normalise-"):
        gather(lab)


def test_no_campaign_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(PlanError, match="nextplate run"):
        gather(init_lab(tmp_path / "lab"))


def test_no_simulated_lab_is_made_for_a_report(tmp_path):
    lab = init_lab(tmp_path / "lab")
    assert ask_referee(lab, "0" * 64, [["C1"]], []).body is None
    assert not (lab.folder / "sim").exists()
