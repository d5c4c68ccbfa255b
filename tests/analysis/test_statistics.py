"""The statistics against published implementations, cases worked by hand, and simulated studies."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from analysis import statistics

N_STUDIES = 2_000


@pytest.fixture(scope="module")
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def covers(interval: tuple[np.ndarray, np.ndarray], truth: float) -> float:
    low, high = interval
    return float(((low <= truth) & (truth <= high)).mean())


def test_students_interval_is_scipys(rng: np.random.Generator) -> None:
    values = rng.normal(0.9, 0.02, 8)
    theirs = stats.t.interval(0.95, 7, loc=values.mean(), scale=stats.sem(values))
    assert statistics.student_t(values) == pytest.approx(theirs, abs=1e-12)


def test_students_interval_covers_normal_and_mildly_skewed_replicates(rng: np.random.Generator) -> None:
    normal = rng.normal(0.9, 0.01, (N_STUDIES, 8))
    skewed = rng.gamma(16, 0.01 / 4, (N_STUDIES, 8))
    assert 0.93 <= covers(statistics.student_t(normal), 0.9) <= 0.97
    assert 0.93 <= covers(statistics.student_t(skewed), 16 * 0.01 / 4) <= 0.97


def test_near_one_the_studentized_interval_covers_where_students_does_not(rng: np.random.Generator) -> None:
    values = 1 - rng.gamma(0.8, 0.0125, (N_STUDIES, 8)) - 0.0
    truth = 1 - 0.8 * 0.0125
    assert covers(statistics.student_t(values), truth) < 0.92
    ours = statistics.studentized(values, n_resamples=999)
    assert 0.92 <= covers(ours, truth) <= 0.97


@pytest.mark.parametrize(("n", "n_places"), [(2, 3), (4, 6), (8, 6), (12, 5), (30, 4)])
def test_pages_test_of_a_trend_is_scipys(n: int, n_places: int, rng: np.random.Generator) -> None:
    values = rng.normal(size=(n, n_places)) + 0.1 * np.arange(n_places)
    for table in (values, values[:, ::-1]):
        theirs = stats.page_trend_test(table, method="exact").pvalue
        assert statistics.page_trend(table) == pytest.approx(theirs, rel=1e-9)


def test_pages_test_counts_the_orders_of_ties_too(rng: np.random.Generator) -> None:
    for table in rng.integers(3, size=(5, 3, 4)).astype(float):
        ranks, places = stats.rankdata(table, axis=1), np.arange(1, 5)
        of_rows = [[np.dot(order, places) for order in itertools.permutations(row)] for row in ranks]
        sums = np.array([sum(of) for of in itertools.product(*of_rows)])
        assert statistics.page_trend(table) == pytest.approx((sums >= (ranks * places).sum()).mean(), abs=1e-12)


def test_over_many_places_pages_sum_is_normal(rng: np.random.Generator) -> None:
    values = rng.normal(size=(8, 12)) + 0.05 * np.arange(12)
    theirs = stats.page_trend_test(values, method="asymptotic").pvalue
    assert statistics.page_trend(values) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("shape", [(8, 6), (8, 12), (0, 6)])
def test_what_is_everywhere_alike_has_no_trend(shape: tuple[int, int]) -> None:
    assert statistics.page_trend(np.zeros(shape)) == pytest.approx(1.0)


def test_the_sign_flip_test_is_scipys_permutation_test(rng: np.random.Generator) -> None:
    for shift in (0.0, 0.5, 3.0):
        differences = rng.normal(shift, 1, 8)
        theirs = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert statistics.sign_flip(differences) == pytest.approx(theirs.pvalue, abs=1e-12)


def test_the_smallest_p_of_eight_pairs_is_two_in_256() -> None:
    assert statistics.sign_flip(np.arange(1.0, 9.0)) == 2 / 256
    assert statistics.smallest_p(8, 6) <= 0.05 < statistics.smallest_p(8, 7)
    assert statistics.sign_flip(np.zeros(4)) == 1.0
    assert math.isnan(statistics.sign_flip(np.array([])))


def test_no_pairs_reach_less_than_the_sampled_flips_allow() -> None:
    assert statistics.sign_flip(np.arange(1.0, 17.0)) == statistics.smallest_p(16, 1) == 2 / 2**16
    assert statistics.sign_flip(np.arange(1.0, 41.0)) == statistics.smallest_p(40, 1) == 1 / 20_001
    assert (statistics.flips(16), statistics.flips(17)) == ("exact", "sampled")


def test_many_pairs_are_drawn_and_agree_with_students_test(rng: np.random.Generator) -> None:
    differences = rng.normal(0.4, 1, 40)
    assert statistics.sign_flip(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.01)


def test_holm_by_hand() -> None:
    assert statistics.holm(np.array([0.01, 0.04, 0.03, math.nan, 0.005])) == pytest.approx(
        [0.03, 0.06, 0.06, math.nan, 0.02], nan_ok=True
    )


def test_the_error_of_a_family_is_at_most_one_in_twenty(rng: np.random.Generator) -> None:
    wrong = 0
    signs = np.array(np.meshgrid(*[[1.0, -1.0]] * 8)).reshape(8, -1)
    for _ in range(N_STUDIES):
        reference = rng.normal(0, 1, 8)
        differences = rng.normal(0, 1, (5, 8)) - reference
        means = np.abs(differences @ signs)
        p = (means >= np.abs(differences.sum(1))[:, None] * (1 - 1e-12)).mean(1)
        wrong += bool((statistics.holm(p) <= 0.05).any())
    assert p[0] == statistics.sign_flip(differences[0])
    assert wrong / N_STUDIES <= 0.05


def test_an_interval_over_items_covers_the_accuracy_of_the_population(rng: np.random.Generator) -> None:
    inside = 0
    for _ in range(N_STUDIES):
        easy = rng.beta(0.9, 0.1, 360)  # how often each item is right: mostly always or never, 0.9 on average
        right = rng.random((8, 360)) < easy + rng.normal(0, 0.01, (8, 1))
        low, high = statistics.over_items(right.mean(1), right.mean(0))
        inside += low <= 0.9 <= high
    assert 0.93 <= inside / N_STUDIES <= 0.98


@pytest.mark.parametrize(
    ("values", "bimodal"),
    [
        ([0.9, 0.91, 0.2, 0.92], True),
        ([0.9, 0.91, 0.89, 0.92], False),
        ([0.1, 0.4, 0.7, 0.95], False),
        ([0.1, 0.9], False),
    ],
)
def test_a_collapsed_replicate_is_seen(values: list[float], bimodal: bool) -> None:
    assert statistics.is_bimodal(np.array(values)) == bimodal


def test_replicates_that_agree_have_an_interval_without_width() -> None:
    assert statistics.studentized(np.full(8, 0.5)) == (0.5, 0.5)
    assert statistics.skewness(np.full(8, 0.5)) == 0.0
    assert statistics.over_items(np.full(8, 0.5), np.full(9, 0.5)) == (0.5, 0.5)


def test_many_studies_at_once_are_each_as_by_itself(rng: np.random.Generator) -> None:
    for n in (0, 1, 2, 3, 8, 99, 100):
        values_Sn = np.concatenate([rng.normal(0.5, 0.1, (20, n)), rng.exponential(0.2, (20, n)), np.ones((2, n))])
        low, high, kind = statistics.preferred(values_Sn)
        bimodal, p = statistics.is_bimodal(values_Sn), statistics.sign_flip(values_Sn - 0.5)
        for s, values_n in enumerate(values_Sn):
            alone = statistics.preferred(values_n)
            assert (kind[s], bimodal[s]) == (alone[2], statistics.is_bimodal(values_n))
            np.testing.assert_array_equal((low[s], high[s]), alone[:2])
            np.testing.assert_array_equal(p[s], statistics.sign_flip(values_n - 0.5))
        assert set(kind) == ({"t", "studentized"} if n in (8, 99) else {"t"} if n != 3 else set(kind))


def test_rows_are_stacked_by_place_in_their_order() -> None:
    places = np.array([3, 0, 3, 1, 0, 3, 1])
    stacks = {tuple(alike): rows.tolist() for alike, rows in statistics.stacks(places, 5)}
    assert stacks == {(2, 4): [[], []], (0, 1): [[1, 4], [3, 6]], (3,): [[0, 2, 5]]}
    assert [alike.tolist() for alike, _ in statistics.stacks(np.array([], int), 2)] == [[0, 1]]


def test_it_is_counted_how_often_each_value_is_drawn() -> None:
    times_Rn = statistics.times_drawn(np.array([[0, 0, 2], [1, 2, 1]]))
    assert times_Rn.tolist() == [[2, 0, 1], [0, 2, 1]]
