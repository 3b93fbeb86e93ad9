"""A BERT as an ONNX graph whose attention onnxruntime recognises: exported from the eager code, traced in eval mode."""

from pathlib import Path


def export(model: Path, out: Path) -> tuple[int, int]:
    """Write the graph; its number of heads and hidden size."""
    import torch
    from transformers import AutoModel

    class Hidden(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = AutoModel.from_pretrained(model, attn_implementation="eager", add_pooling_layer=False)

        def forward(self, input_ids, attention_mask, token_type_ids):
            return self.bert(input_ids, attention_mask, token_type_ids).last_hidden_state

    hidden = Hidden().eval()
    ids = torch.randint(5, 1000, (3, 11))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    names = ["input_ids", "attention_mask", "token_type_ids"]
    axes = {0: "texts", 1: "length"}
    torch.onnx.export(
        hidden,
        (ids, mask, torch.zeros_like(ids)),
        str(out),
        input_names=names,
        output_names=["hidden"],
        dynamic_axes=dict.fromkeys([*names, "hidden"], axes),
        opset_version=17,
        dynamo=False,
    )
    return hidden.bert.config.num_attention_heads, hidden.bert.config.hidden_size
