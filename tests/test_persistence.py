"""Persistence: what is averaged, what it is carried along with, and what begins it anew."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from rtelasto.errors import RtelastoError
from rtelasto.frames.rf import Grid
from rtelasto.frames.strain import Elongation, StrainFrame
from rtelasto.pipeline.persistence import Persistence

GRID = Grid(48, 160, 1e-4, 3e-4)
PERIOD_S = 0.02
# Away from the sides, where the tissue comes and goes.
INSIDE = (slice(4, -4), slice(8, -12))


def tissue(shift_lines: float = 0.0, compressed: float = 0.0) -> np.ndarray:
    """A round stiff lesion (0.5) in average tissue, where it lies after a motion."""
    line = np.arange(48)[:, None] - shift_lines
    row = np.arange(160)[None, :] / (1.0 + compressed)
    inside = np.hypot((line - 22) / 9.0, (row - 90) / 27.0) < 1.0
    return np.where(inside, 0.5, 1.0)


class Hand:
    """Pairs of a press as an engine sees them: strain with noise, and the true motion."""

    def __init__(
        self,
        press: Callable[[float], float],
        *,
        noise: float = 1e-3,
        slide_lines_per_s: float = 0.0,
        lag: int = 5,
    ) -> None:
        self.press, self.noise, self.slide, self.lag = press, noise, slide_lines_per_s, lag
        self.rng = np.random.default_rng(4)

    def pair(self, k: int) -> tuple[StrainFrame, float, float]:
        """The pair of which frame ``k`` is the newer, and the times of its frames."""
        pre_s, post_s = (k - self.lag) * PERIOD_S, k * PERIOD_S
        before, after = self.press(pre_s), self.press(post_s)
        applied = after - before
        moved = self.slide * self.lag * PERIOD_S
        strain = applied * tissue(self.slide * pre_s, before)
        strain = strain + self.noise * self.rng.standard_normal(strain.shape)
        depth_m = GRID.depth_m / (1.0 + before)
        frame = StrainFrame(
            axial_strain=strain.astype(np.float32),
            axial_displacement_m=np.tile(applied * depth_m, (48, 1)).astype(np.float32),
            correlation=np.full(GRID.shape, 0.98, np.float32),
            grid=GRID,
            frame_ids=(k - self.lag, k),
            quality=0.98,
            applied_strain=float(np.median(strain)),
            elongation=Elongation(axial_slope=applied, lateral_offset_m=moved * GRID.line_pitch_m),
        )
        return frame, pre_s, post_s


def palpate(t: float) -> float:
    """A press to 1 % once a second."""
    return -0.005 * (1.0 - math.cos(2.0 * math.pi * t))


def run(hand: Hand, frames: range, persistence: Persistence, **more: int) -> list[StrainFrame]:
    shown = []
    for k in frames:
        frame, pre_s, post_s = hand.pair(k)
        shown.append(persistence(frame, pre_s=pre_s, post_s=post_s, **more))
    return shown


def error(frame: StrainFrame, hand: Hand, *, of: str = "relative_strain") -> float:
    """Median error of the pattern, where the tissue was in the older frame."""
    pre_s = frame.frame_ids[0] * PERIOD_S
    truth = tissue(hand.slide * pre_s, hand.press(pre_s))
    image = getattr(frame, of)
    if of == "axial_strain":
        image = image / frame.applied_strain
    return float(np.nanmedian(np.abs(image - truth)[INSIDE]))


def test_the_picture_grows_calm_over_a_press() -> None:
    hand = Hand(palpate)
    shown = run(hand, range(6, 100), Persistence(1.0))
    singles = [error(frame, hand, of="axial_strain") for frame in shown]
    assert error(shown[8], hand) < min(singles[:9])
    assert error(shown[-1], hand) < 0.45 * min(singles)
    state = shown[-1].persistence
    assert state is not None
    assert state.presses == 2
    assert 15 <= state.frames <= len(shown)
    assert state.age_s == 0.0


def test_its_standard_deviation_is_that_of_the_picture() -> None:
    hand = Hand(palpate)
    for frame in run(hand, range(6, 120), Persistence(1.0))[20::25]:
        pre_s = frame.frame_ids[0] * PERIOD_S
        away = (frame.relative_strain - tissue(0.0, palpate(pre_s))) / frame.relative_strain_std
        assert 0.5 < np.nanmedian(np.abs(away[INSIDE])) / 0.6745 < 1.4


def test_pixels_that_the_engine_calls_uncertain_count_less() -> None:
    """Half of the pairs are wrong in half of the image: the engine knows, the correlation does not."""
    errors = {}
    wrong = np.s_[24:]
    for stated in (False, True):
        hand, persistence = Hand(palpate, noise=1e-4), Persistence(1.0)
        for k in range(6, 60):
            frame, pre_s, post_s = hand.pair(k)
            std = np.full(GRID.shape, 2e-4, np.float32)
            if k % 2:
                frame.axial_strain[wrong] *= 1.3
                std[wrong] = 4e-3
            frame = frame.replace(axial_strain_std=std if stated else None)
            frame = persistence(frame, pre_s=pre_s, post_s=post_s)
        assert frame.relative_strain is not None
        truth = tissue(0.0, hand.press(pre_s))
        errors[stated] = float(np.median(np.abs(frame.relative_strain - truth)[24:-4, 8:-12]))
    assert errors[True] < 0.03
    assert errors[False] > 3.0 * errors[True]


def test_press_and_release_give_the_same_picture() -> None:
    press, release = (
        run(Hand(motion, noise=2e-4), range(6, 30), Persistence(1.0))[-1]
        for motion in (lambda t: -0.02 * t, lambda t: 0.02 * t - 0.0116)
    )
    assert press.applied_strain < 0.0 < release.applied_strain
    for shown, motion in ((press, -0.02), (release, 0.02)):
        pre_s = shown.frame_ids[0] * PERIOD_S
        truth = tissue(0.0, motion * pre_s - (0.0116 if motion > 0.0 else 0.0))
        assert np.nanmedian(np.abs(shown.relative_strain - truth)[INSIDE]) < 0.03


def test_at_rest_the_last_good_picture_stays_and_grows_old() -> None:
    def press_then_rest(t: float) -> float:
        return palpate(min(t, 2.0)) + 1e-5 * math.sin(60.0 * t)

    hand = Hand(press_then_rest)
    persistence = Persistence(1.0)
    pressed = run(hand, range(6, 100), persistence)[-1]
    rested = run(hand, range(100, 500), persistence)[-1]
    assert error(rested, hand) < 1.1 * error(pressed, hand)
    assert error(rested, hand, of="axial_strain") > 1.0
    assert rested.persistence is not None
    assert rested.persistence.age_s == pytest.approx(8.0, abs=0.3)


def test_it_is_carried_along_with_tissue_that_slides_and_is_compressed() -> None:
    hand = Hand(lambda t: 2.0 * palpate(t), slide_lines_per_s=4.0)
    shown = run(hand, range(6, 90), Persistence(1.0))
    assert error(shown[-1], hand) < 0.03
    # By 7 lines since the beginning: an average that stayed would be wrong around the whole lesion.
    pre_s = shown[-1].frame_ids[0] * PERIOD_S
    wrong = np.abs(shown[-1].relative_strain - tissue(hand.slide * pre_s, hand.press(pre_s))) > 0.25
    assert wrong[INSIDE].mean() < 0.04
    stayed = np.abs(tissue() - tissue(hand.slide * pre_s, hand.press(pre_s))) > 0.25
    assert stayed[INSIDE].mean() > 2.0 * wrong[INSIDE].mean()


def test_tissue_that_has_gone_far_is_still_followed() -> None:
    hand = Hand(palpate, slide_lines_per_s=8.0)
    shown = run(hand, range(6, 60), Persistence(1.0))
    wrong = np.abs(
        shown[-1].relative_strain
        - tissue(hand.slide * shown[-1].frame_ids[0] * PERIOD_S, palpate(shown[-1].frame_ids[0] * PERIOD_S))
    )  # fmt: skip
    known = np.isfinite(wrong)
    assert known[INSIDE].mean() > 0.7
    assert (wrong[INSIDE][known[INSIDE]] > 0.25).mean() < 0.08


def test_one_wild_pair_does_not_show() -> None:
    hand = Hand(palpate)
    persistence = Persistence(1.0)
    before = run(hand, range(6, 40), persistence)[-1]
    frame, pre_s, post_s = hand.pair(40)
    wild = frame.replace(
        axial_strain=np.random.default_rng(0).normal(0.0, 0.05, GRID.shape).astype(np.float32)
    )
    after = persistence(wild, pre_s=pre_s, post_s=post_s)
    assert error(after, hand) < 1.2 * error(before, hand)


def test_a_pair_that_was_not_tracked_moves_nothing() -> None:
    hand = Hand(palpate)
    persistence = Persistence(1.0)
    run(hand, range(6, 40), persistence)
    frame, pre_s, post_s = hand.pair(40)
    lost = frame.replace(
        axial_displacement_m=np.full(GRID.shape, 3e-3, np.float32), correlation=frame.correlation * 0.2,
        quality=0.2, applied_strain=-0.05,
    )  # fmt: skip
    persistence(lost, pre_s=pre_s, post_s=post_s)
    after = run(hand, range(41, 50), persistence)[-1]
    assert after.persistence is not None
    assert after.persistence.frames > 20
    assert error(after, hand) < 0.06


def test_one_wild_pixel_stays_one_wild_pixel() -> None:
    hand = Hand(palpate)
    persistence = Persistence(1.0)
    run(hand, range(6, 40), persistence)
    frame, pre_s, post_s = hand.pair(40)
    strain = frame.axial_strain.copy()
    strain[20, 30], strain[30, 60] = 1e6, np.nan
    after = persistence(frame.replace(axial_strain=strain), pre_s=pre_s, post_s=post_s)
    assert np.nanmax(np.abs(after.relative_strain)) < 3.0
    assert np.isfinite(after.relative_strain[INSIDE]).all()


def test_another_tissue_under_the_probe_is_shown_within_half_a_second() -> None:
    hand = Hand(palpate)
    persistence = Persistence(1.0)
    run(hand, range(6, 100), persistence)
    hand.noise = 5e-4
    for k in range(100, 150):
        frame, pre_s, post_s = hand.pair(k)
        turned = frame.replace(axial_strain=np.ascontiguousarray(frame.axial_strain[:, ::-1]))
        shown = persistence(turned, pre_s=pre_s, post_s=post_s)
    truth = tissue(0.0, palpate(49 * PERIOD_S))[:, ::-1]
    assert np.nanmedian(np.abs(shown.relative_strain - truth)[INSIDE]) < 0.05
    assert (np.abs(shown.relative_strain - truth)[INSIDE] > 0.25).mean() < 0.05


@pytest.mark.parametrize("change", ["scene", "stream", "pause", "depth"])
def test_what_begins_it_anew(change: str) -> None:
    hand = Hand(palpate)
    persistence = Persistence(1.0)
    run(hand, range(6, 60), persistence)
    frame, pre_s, post_s = hand.pair(65)
    scene = int(change == "scene")
    if change == "stream":
        frame = frame.replace(stream="another")
    elif change == "pause":
        pre_s, post_s = pre_s + 8.0, post_s + 8.0
    elif change == "depth":
        frame = frame.replace(grid=Grid(48, 160, 2e-4, 3e-4))
    shown = persistence(frame, pre_s=pre_s, post_s=post_s, scene=scene)
    assert shown.persistence is not None
    assert shown.persistence.frames == 1
    np.testing.assert_allclose(
        shown.relative_strain[INSIDE],
        (frame.axial_strain / frame.applied_strain)[INSIDE],
        rtol=1e-4,
    )


def test_before_a_press_nothing_is_claimed() -> None:
    shown = run(Hand(lambda t: 1e-6 * t), range(6, 20), Persistence(1.0))[-1]
    assert np.isnan(shown.relative_strain).all()
    assert shown.persistence is not None
    assert shown.persistence.frames == 0
    assert math.isnan(shown.persistence.age_s)


def test_parts_without_echo_stay_unknown() -> None:
    hand = Hand(palpate)
    persistence = Persistence(1.0)
    for k in range(6, 40):
        frame, pre_s, post_s = hand.pair(k)
        correlation = frame.correlation.copy()
        correlation[:, 120:] = 0.0
        shown = persistence(frame.replace(correlation=correlation), pre_s=pre_s, post_s=post_s)
    assert np.isnan(shown.relative_strain[:, 125:]).all()
    assert np.isfinite(shown.relative_strain[4:-4, 8:115]).all()


@pytest.mark.parametrize("seconds", [-1.0, 0.001, 1e9, math.nan])
def test_time_constants_that_cannot_be(seconds: float) -> None:
    with pytest.raises(RtelastoError, match="persistence_s"):
        Persistence(seconds)
