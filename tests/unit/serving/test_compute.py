import numpy as np

from services.serving.compute import Part, compute


def test_a_result_that_cannot_be_divided_among_requests_is_an_error_for_each():
    outcomes = compute(lambda images: np.zeros((1, 3), np.float32), [np.zeros((2, 4), np.uint8)] * 2)
    assert [type(outcome) for outcome in outcomes] == [RuntimeError, RuntimeError]
    assert "shape (1, 3) for 2 images" in str(outcomes[0])


def test_rows_of_one_request_reach_the_runtime_without_a_copy():
    given = np.zeros((2, 4), np.uint8)
    seen = []

    def predict(images):
        seen.append(images)
        return np.zeros((2, 3), np.float32)

    (part,) = compute(predict, [given])
    assert isinstance(part, Part)
    assert seen[0] is given


def test_parts_of_one_execution_share_its_times():
    first, second = compute(lambda images: np.zeros((len(images), 3), np.float32), [np.zeros((1, 4), np.uint8)] * 2)
    assert isinstance(first, Part)
    assert isinstance(second, Part)
    assert first.execution is second.execution
    assert first.execution.images == 2
