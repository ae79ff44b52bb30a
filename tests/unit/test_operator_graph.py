"""The replay of autograd over sizes, on graphs that can be followed by hand."""

from dissect.predict.operator_graph import Op, OperatorGraph

KIB = 1024
X = {"x": 4 * KIB}


def test_a_tensor_lives_until_its_last_reader() -> None:
    ops = [Op("a", 8 * KIB, ("x",)), Op("b", 2 * KIB, ("a",)), Op("c", KIB, ("b",)), Op("d", KIB, ("c",))]
    assert OperatorGraph(ops, X, ["x"]).footprint.forward == 10 * KIB  # a and b; then b and c
    assert OperatorGraph(ops, X, ["x"]).footprint.saved == 0


def test_what_an_operator_saves_outlives_its_readers() -> None:
    footprint = OperatorGraph(
        [Op("a", 8 * KIB, ("x",), saves=("a",)), Op("b", 2 * KIB, ("a",)), Op("c", KIB, ("b",))], X, ["x"]
    ).footprint
    assert footprint.saved == 8 * KIB
    assert footprint.forward == (8 + 2 + 1) * KIB
    assert footprint.forward_unsaved == (8 + 2) * KIB


def test_gradients_pass_from_operator_to_operator() -> None:
    # Backwards: c and b, then b and a beside the saved a, then a and x beside it.
    ops = [Op("a", 8 * KIB, ("x",), saves=("a",)), Op("b", 2 * KIB, ("a",)), Op("c", KIB, ("b",))]
    assert OperatorGraph(ops, X, ["x"]).footprint.backward == (8 + 8 + 4) * KIB


def test_gradients_of_weights_stay_or_go() -> None:
    ops = [Op("a", KIB, ("x",), weights=16 * KIB), Op("b", KIB, ("a",), weights=16 * KIB)]
    footprint = OperatorGraph(ops, X, ["x"]).footprint
    assert footprint.weights == 32 * KIB
    assert footprint.backward == (32 + 1 + 4) * KIB
    assert footprint.backward_released == (16 + 1 + 4) * KIB


def test_a_view_shares_the_storage_of_what_it_views() -> None:
    ops = [Op("a", 8 * KIB, ("x",)), Op("view", 0, ("a",)), Op("b", KIB, ("view",), saves=("view",))]
    footprint = OperatorGraph(ops, X, ["x"]).footprint
    assert footprint.saved == 8 * KIB
    assert footprint.backward == (8 + 1 + 8) * KIB  # the saved a, and gradients of b and of the view, which becomes a's


def test_frozen_operators_before_the_first_gradient_save_nothing() -> None:
    ops = [Op("a", 8 * KIB, ("x",), saves=("x",)), Op("b", KIB, ("a",), saves=("a",), weights=KIB)]
    footprint = OperatorGraph(ops, X, []).footprint
    assert footprint.saved == 8 * KIB  # a, for the weight of b, and not x
    assert footprint.backward == (8 + 1 + 1) * KIB  # and no gradient of a


def test_two_readers_add_their_gradients() -> None:
    ops = [Op("a", 8 * KIB, ("x",)), Op("b", KIB, ("a",)), Op("c", KIB, ("a",)), Op("d", KIB, ("b", "c"))]
    # of c and a; then of b, a and a second of a; then of a and x
    assert OperatorGraph(ops, X, ["x"]).footprint.backward == (1 + 8 + 8) * KIB


def test_blocks_are_rounded_up() -> None:
    ops = [Op("a", 1, ("x",), saves=("a",)), Op("b", 513, ("a",))]
    footprint = OperatorGraph(ops, X, ["x"]).footprint
    assert (footprint.saved, footprint.forward) == (512, 512 + 1024)
