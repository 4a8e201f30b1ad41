"""Builds the ONNX graph of a BERT encoder from its weights.

The graph follows the architecture of Devlin et al. 2019 (arXiv:1810.04805). The tensors have the
names that Hugging Face's `BertModel` saves.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import ModelError

# LayerNormalization came with operator set 17, Gelu with 20.
_OPERATOR_SET = 20
_IR_VERSION = 9
_MASKED = np.float32(-3.0e38)


def write_graph(folder: Path, path: Path) -> None:
    """Write the graph of a BERT encoder.

    Its inputs are input_ids, attention_mask and token_type_ids, int64[batch, length]; its output
    is last_hidden_state, float32[batch, length, dim].

    Args:
        folder: contains config.json and model.safetensors.
        path: the .onnx file to write.

    Raises:
        ModelError: the directory has no such weights, or the extra is not installed.
    """
    try:
        import onnx
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise ModelError(f"{error.name} is missing: pip install 'nitamono[onnx]'") from error
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        weights = load_file(folder / "model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(
            f"{folder}: holds no model.onnx, and no BERT weights to make one of: {error}"
        ) from error
    if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
        raise ModelError(
            f"{folder}: holds no model.onnx, and is {config.get('model_type')}, not BERT with "
            "gelu; export it to ONNX first, with Optimum for instance"
        )
    try:
        onnx.save(_Graph(config, weights).model(), str(path))
    except KeyError as error:
        raise ModelError(f"{folder}: its weights lack {error}") from error


class _Graph:
    """Builds the nodes one after the other; each method returns the name of its result."""

    def __init__(self, config: dict[str, Any], weights: dict[str, npt.NDArray[Any]]) -> None:
        self._config = config
        # Some checkpoints keep the encoder under a prefix.
        self._weights = {name.removeprefix("bert."): value for name, value in weights.items()}
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def model(self) -> Any:  # noqa: ANN401 - onnx.ModelProto
        from onnx import TensorProto, helper

        self._node("Identity", [self._layers()], output="last_hidden_state")
        shape = ["batch", "length"]
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, shape)
            for name in ("input_ids", "attention_mask", "token_type_ids")
        ]
        output = helper.make_tensor_value_info(
            "last_hidden_state", TensorProto.FLOAT, [*shape, self._config["hidden_size"]]
        )
        graph = helper.make_graph(
            self._nodes, "bert", inputs, [output], list(self._constants.values())
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPERATOR_SET)],
            ir_version=_IR_VERSION,
            producer_name="nitamono",
        )

    def _layers(self) -> str:
        mask = self._mask()
        states = self._embeddings()
        for number in range(self._config["num_hidden_layers"]):
            layer = f"encoder.layer.{number}"
            attended = self._dense(
                self._attention(states, mask, layer), f"{layer}.attention.output.dense"
            )
            states = self._norm(
                self._node("Add", [attended, states]), f"{layer}.attention.output.LayerNorm"
            )
            wide = self._node("Gelu", [self._dense(states, f"{layer}.intermediate.dense")])
            narrow = self._dense(wide, f"{layer}.output.dense")
            states = self._norm(self._node("Add", [narrow, states]), f"{layer}.output.LayerNorm")
        return states

    def _mask(self) -> str:
        """Add 0 for a token and a very low number for padding: float[batch, 1, 1, length]."""
        from onnx import TensorProto

        mask = self._node("Cast", ["attention_mask"], to=TensorProto.FLOAT)
        mask = self._node(
            "Unsqueeze", [mask, self._constant("mask_axes", np.array([1, 2], np.int64))]
        )
        gaps = self._node("Sub", [self._constant("one", np.float32(1)), mask])
        return self._node("Mul", [gaps, self._constant("masked", _MASKED)])

    def _embeddings(self) -> str:
        one, zero = (self._constant(f"index_{n}", np.int64(n)) for n in (1, 0))
        length = self._node("Gather", [self._node("Shape", ["input_ids"]), one])
        positions = self._node("Range", [zero, length, one])
        parts = [
            self._node("Gather", [self._weight(f"embeddings.{name}_embeddings.weight"), index])
            for name, index in (
                ("word", "input_ids"),
                ("token_type", "token_type_ids"),
                ("position", positions),
            )
        ]
        total = self._node("Add", [self._node("Add", parts[:2]), parts[2]])
        return self._norm(total, "embeddings.LayerNorm")

    def _attention(self, states: str, mask: str, layer: str) -> str:
        heads = self._config["num_attention_heads"]
        size = self._config["hidden_size"] // heads
        split = self._constant("split_heads", np.array([0, 0, heads, size], np.int64))

        def heads_of(name: str, order: list[int]) -> str:
            dense = self._dense(states, f"{layer}.attention.self.{name}")
            return self._node("Transpose", [self._node("Reshape", [dense, split])], perm=order)

        scores = self._node(
            "MatMul", [heads_of("query", [0, 2, 1, 3]), heads_of("key", [0, 2, 3, 1])]
        )
        scale = self._constant("scale", np.float32(size**-0.5))
        scores = self._node("Add", [self._node("Mul", [scores, scale]), mask])
        weights = self._node("Softmax", [scores], axis=-1)
        mixed = self._node("MatMul", [weights, heads_of("value", [0, 2, 1, 3])])
        mixed = self._node("Transpose", [mixed], perm=[0, 2, 1, 3])
        join = self._constant("join_heads", np.array([0, 0, heads * size], np.int64))
        return self._node("Reshape", [mixed, join])

    def _dense(self, states: str, name: str) -> str:
        weight = self._weight(f"{name}.weight", transpose=True)
        return self._node(
            "Add", [self._node("MatMul", [states, weight]), self._weight(f"{name}.bias")]
        )

    def _norm(self, states: str, name: str) -> str:
        inputs = [states, self._weight(f"{name}.weight"), self._weight(f"{name}.bias")]
        epsilon = self._config.get("layer_norm_eps", 1e-12)
        return self._node("LayerNormalization", inputs, axis=-1, epsilon=epsilon)

    def _weight(self, name: str, *, transpose: bool = False) -> str:
        value = self._weights[name].astype(np.float32)
        return self._constant(name, value.T if transpose else value)

    def _constant(self, name: str, value: npt.NDArray[Any] | np.generic) -> str:
        from onnx import numpy_helper

        if name not in self._constants:
            # ascontiguousarray would turn a scalar into an array of one value.
            array = np.array(value, order="C")
            self._constants[name] = numpy_helper.from_array(array, name)
        return name

    def _node(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:  # noqa: ANN401 - any attribute
        from onnx import helper

        name = output or f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name
