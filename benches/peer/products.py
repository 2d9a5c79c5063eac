"""Times matrix products of PyTorch, for `benches/benches/libraries.rs`: a shape on every line of the input, its seconds on the output.

A line is `items m k n a_turned b_turned own_a own_b`: how many products, their sizes, whether A and B are stored as transposes, and
whether every product has an A and a B of its own.
"""

import sys
import time

import torch

torch.set_num_threads(int(sys.argv[1]))
made = {}

for line in sys.stdin:
    items, m, k, n, a_turned, b_turned, own_a, own_b = map(int, line.split())

    def operand(rows, cols, turned, own):
        shape = (items if own else 1, cols, rows) if turned else (items if own else 1, rows, cols)
        x = torch.randn(shape)
        x = x.transpose(1, 2) if turned else x
        return x.expand(items, rows, cols)

    if line not in made:
        made.clear()
        made[line] = operand(m, k, a_turned, own_a), operand(k, n, b_turned, own_b), torch.empty(items, m, n)
    a, b, c = made[line]

    def calls(count):
        start = time.perf_counter()
        for _ in range(count):
            if items == 1:
                torch.mm(a[0], b[0], out=c[0])
            else:
                torch.bmm(a, b, out=c)
        return (time.perf_counter() - start) / count

    # A spell that does not count, and one that does.
    count = int(min(max(0.02 / calls(1), 1), 1000))
    calls(count)
    print(calls(count), flush=True)
