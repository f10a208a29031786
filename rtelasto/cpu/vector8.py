"""Eight float32 at a time, for kernels whose inner loops are too short for the compiler to do so itself.

A loop over an array becomes vector instructions only behind checks that what it writes does not overlap
what it reads. In a loop of eight such checks cost more than the loop. These values are vectors from the
start: kernels add and multiply them as they do numbers.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.extending import intrinsic, lower_builtin, register_model, type_callable

LANES = 8
# Products may join sums in one instruction, as in the kernels around.
_FAST = ("contract", "reassoc", "nsz", "arcp")
_FLOATS = ir.VectorType(ir.FloatType(), LANES)


class _Vector8(types.Type):
    def __init__(self) -> None:
        super().__init__(name="float32x8")


vector8 = _Vector8()


@register_model(_Vector8)
class _Vector8Model(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _FLOATS)


def _arithmetic(operation: Any, instruction: str) -> None:
    @type_callable(operation)
    def typed(context: Any) -> Any:
        def of(a: Any, b: Any) -> Any:
            return vector8 if a is vector8 and b is vector8 else None

        return of

    @lower_builtin(operation, _Vector8, _Vector8)
    def lowered(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return getattr(builder, instruction)(*arguments, flags=_FAST)


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")


def _place(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Pointer to eight elements of a contiguous float32 array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _FLOATS.as_pointer())


def _is_row(array_type: Any) -> bool:
    return (
        isinstance(array_type, types.Array)
        and array_type.dtype == types.float32
        and array_type.layout == "C"
    )


@intrinsic
def load8(typingctx, array, index):  # type: ignore[no-untyped-def]
    """Elements ``index`` to ``index`` + 7 of a contiguous float32 array, counted in memory."""
    if not _is_row(array):
        return None

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        place = _place(context, builder, signature.args[0], arguments[0], arguments[1])
        return builder.load(place, align=4)

    return vector8(array, types.intp), codegen


@intrinsic
def store8(typingctx, array, index, value):  # type: ignore[no-untyped-def]
    """Write eight elements from ``index`` on."""
    if not _is_row(array):
        return None

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        place = _place(context, builder, signature.args[0], arguments[0], arguments[1])
        builder.store(arguments[2], place, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector8), codegen


@intrinsic
def all8(typingctx, value):  # type: ignore[no-untyped-def]
    """Eight times the same number."""

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        undefined = ir.Constant(_FLOATS, ir.Undefined)
        first = builder.insert_element(undefined, arguments[0], ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(first, undefined, mask)

    return vector8(types.float32), codegen
