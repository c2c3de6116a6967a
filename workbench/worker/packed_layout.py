"""Where the tokens of a batch lie when nothing of it is padded or computed twice.

TRL scores a batch as rows padded to the longest, and B pairs as 2 B rows, each with its own copy of
the prompt. Here all tokens of the batch lie in one row. Of a pair it holds the common prefix, then
the rest of the chosen and of the rejected row. Attention is computed pair by pair: the rest of the
rejected row sees the prefix and itself, never the chosen one, and positions go on behind the
prefix. This is exact (Wang and Hegde 2024, arXiv 2410.20305). Everything above it, such as losses
and metrics, is TRL's own: only what TRL calls as `model(..., labels=..., fused_lm_head=True)` is
replaced.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Pair:
    """Where the tokens of one pair lie in the packed row; a row of SFT has no rejected ones.

    Attributes:
        start: Index of its first token.
        prefix, chosen, rejected: Numbers of tokens: common, and behind it in either row.
    """

    start: int
    prefix: int
    chosen: int
    rejected: int

    @property
    def fork(self) -> int:
        """Index of the first token of the rejected rest."""
        return self.start + self.prefix + self.chosen

    @property
    def end(self) -> int:
        """Index behind its last token."""
        return self.fork + self.rejected


@dataclass(frozen=True)
class Layout:
    """How a batch of R rows of length L lies in one row of T tokens; R is 2 B for B pairs.

    Attributes:
        pairs: The pairs, or the rows of SFT, in order.
        tokens: (T,) indices into the flattened (R * L) batch.
        positions: (T,) position of each token in its own row.
        places: (R, L) index in the packed row of each token of the batch; 0 for padding.
    """

    pairs: tuple[Pair, ...]
    tokens: torch.Tensor
    positions: torch.Tensor
    places: torch.Tensor


def lay_pairs(
    input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor
) -> Layout:
    """Find the common prefix of each pair and lay the batch out without it twice.

    Args:
        input_ids: (2 B, L), the chosen rows and then the rejected ones, padded on the right.
        attention_mask: (2 B, L), 1 for tokens.
        labels: (2 B, L), -100 where nothing is predicted. A prefix ends before the first label,
            so that a token is never predicted from the other row.
    """
    count, length = input_ids.shape[0] // 2, input_ids.shape[1]
    lengths = attention_mask.sum(dim=1).tolist()
    same = input_ids[:count] == input_ids[count:]
    for rows in (slice(0, count), slice(count, None)):
        same = same & (labels[rows] == -100) & (attention_mask[rows] != 0)
    prefixes = same.long().cumprod(dim=1).sum(dim=1).tolist()
    pairs, tokens, positions = [], [], []
    places = torch.zeros((2 * count, length), dtype=torch.long)
    start = 0
    for row, prefix in enumerate(prefixes):
        chosen, rejected = lengths[row], lengths[count + row]
        pair = Pair(start, prefix, chosen - prefix, rejected - prefix)
        tokens.append(torch.arange(chosen) + row * length)
        tokens.append(torch.arange(prefix, rejected) + (count + row) * length)
        positions += [torch.arange(chosen), torch.arange(prefix, rejected)]
        places[row, :chosen] = torch.arange(start, start + chosen)
        places[count + row, :prefix] = torch.arange(start, start + prefix)
        places[count + row, prefix:rejected] = torch.arange(pair.fork, pair.end)
        pairs.append(pair)
        start = pair.end
    device = input_ids.device
    return Layout(
        tuple(pairs),
        torch.cat(tokens).to(device),
        torch.cat(positions).to(device),
        places.to(device),
    )


def lay_rows(attention_mask: torch.Tensor) -> Layout:
    """Lay a batch of rows out one behind the other; see `lay_pairs`."""
    count, length = attention_mask.shape
    pairs, tokens, positions = [], [], []
    places = torch.zeros((count, length), dtype=torch.long)
    start = 0
    for row, size in enumerate(attention_mask.sum(dim=1).tolist()):
        pairs.append(Pair(start, 0, size, 0))
        tokens.append(torch.arange(size) + row * length)
        positions.append(torch.arange(size))
        places[row, :size] = torch.arange(start, start + size)
        start += size
    device = attention_mask.device
    return Layout(
        tuple(pairs),
        torch.cat(tokens).to(device),
        torch.cat(positions).to(device),
        places.to(device),
    )
