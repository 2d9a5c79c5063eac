//! Micro-kernels for AVX-512, in assembly: the intrinsics need a newer compiler than the library
//! does.
//!
//! One or two vectors of B are loaded and one entry of A is broadcast per step and row; the sums
//! stay in registers from the first step to the last. The operands may lie anywhere: packed panels
//! are only the case of short distances. Where rows of B are picked, a list says where each step's
//! row is.

use std::arch::asm;
use std::mem::offset_of;

use super::tile::{Kernel, MAX_TILE_ROWS, Pair, PairRun, Tile};

/// The lines, if the tile has such a row.
macro_rules! row {
    ($row:literal, $($line:expr),+) => {
        concat!(".if {rows} > ", $row, "\n", $($line, "\n",)+ ".endif")
    };
}

/// The line, if the tile is two vectors wide.
macro_rules! second {
    ($($text:expr),+) => { concat!(".if {kind} > 1\n", $($text,)+ "\n.endif") };
}

/// The line, if the pair has such a row.
macro_rules! share {
    ($row:literal, $type:literal, $register:literal, $memory:literal, $all:literal) => {
        concat!(
            ".if {rows} > ",
            $row,
            "\n",
            "vfmadd231p",
            $type,
            " zmm",
            $register,
            ", zmm0, ",
            $memory,
            " ptr [{scalars} + {size}*",
            $row,
            "]{{",
            $all,
            "}}\n",
            ".endif"
        )
    };
}

/// The kernels of pairs: the type's suffix of instructions, how one entry is read and repeated, and
/// per row of the result its register.
macro_rules! pair {
    ($elem:ty, $type:literal, $memory:literal, $all:literal, $pair:ident, $pairs:ident,
     [$($row:literal $register:literal),+], [$($rows:literal)+]) => {
        /// `R` rows: see [`Pair`].
        // SAFETY: the promises of `Pair`; the processor must have AVX-512F.
        unsafe fn $pair<const R: usize>(pair: &Pair<$elem>) {
            // SAFETY: reads and writes what the pair describes, valid by the caller's promise; what
            // it changes is named.
            unsafe {
                asm!(
                    "mov {k}, [{pair} + {of_k}]",
                    "mov {columns}, [{pair} + {of_columns}]",
                    "mov {vectors}, [{pair} + {of_vectors}]",
                    "mov {lines}, [{pair} + {of_lines}]",
                    "mov {scalars}, [{pair} + {of_scalars}]",
                    "xor {feature:e}, {feature:e}",
                    $(concat!("vpxord zmm", $register, ", zmm", $register, ", zmm", $register),)+
                    "2:",
                    "cmp {feature}, [{pair} + {of_features}]",
                    "jae 9f",
                    "mov {at}, [{pair} + {of_left_counts}]",
                    "mov {left:e}, dword ptr [{at} + 4*{feature}]",
                    "mov {at}, [{pair} + {of_right_counts}]",
                    "mov {right:e}, dword ptr [{at} + 4*{feature}]",
                    "inc {feature}",
                    "test {left}, {left}",
                    "jz 7f",
                    "test {right}, {right}",
                    "jz 6f",
                    "3:",
                    "mov {line:e}, dword ptr [{lines}]",
                    "add {lines}, 4",
                    "add {line}, {k}",
                    "vpxord zmm0, zmm0, zmm0",
                    "mov {vector}, {vectors}",
                    "xor {step:e}, {step:e}",
                    "4:",
                    "mov {at:e}, dword ptr [{columns} + 4*{step}]",
                    concat!("vmovup", $type, " zmm1, [{vector}]"),
                    concat!("vfmadd231p", $type, " zmm0, zmm1, ", $memory, " ptr [{line} + \
                        {at}]{{", $all, "}}"),
                    "add {vector}, 64",
                    "inc {step}",
                    "cmp {step}, {left}",
                    "jne 4b",
                    $(share!($row, $type, $register, $memory, $all),)+
                    "add {scalars}, {rows}*{size}",
                    "dec {right}",
                    "jnz 3b",
                    "6:",
                    "lea {columns}, [{columns} + 4*{left}]",
                    "shl {left}, 6",
                    "add {vectors}, {left}",
                    "jmp 2b",
                    "7:",
                    "lea {lines}, [{lines} + 4*{right}]",
                    "imul {right}, {right}, {rows}*{size}",
                    "add {scalars}, {right}",
                    "jmp 2b",
                    "9:",
                    "mov {at}, [{pair} + {of_sums}]",
                    $(concat!(
                        ".if {rows} > ", $row, "\n",
                        "vmovup", $type, " [{at} + 64*", $row, "], zmm", $register, "\n",
                        ".endif"
                    ),)+
                    "vzeroupper",
                    pair = in(reg) pair,
                    k = out(reg) _,
                    columns = out(reg) _,
                    vectors = out(reg) _,
                    lines = out(reg) _,
                    scalars = out(reg) _,
                    feature = out(reg) _,
                    at = out(reg) _,
                    left = out(reg) _,
                    right = out(reg) _,
                    line = out(reg) _,
                    vector = out(reg) _,
                    step = out(reg) _,
                    rows = const R,
                    size = const size_of::<$elem>(),
                    of_k = const offset_of!(Pair<$elem>, k),
                    of_left_counts = const offset_of!(Pair<$elem>, left_counts),
                    of_columns = const offset_of!(Pair<$elem>, columns),
                    of_vectors = const offset_of!(Pair<$elem>, vectors),
                    of_right_counts = const offset_of!(Pair<$elem>, right_counts),
                    of_lines = const offset_of!(Pair<$elem>, lines),
                    of_scalars = const offset_of!(Pair<$elem>, scalars),
                    of_features = const offset_of!(Pair<$elem>, features),
                    of_sums = const offset_of!(Pair<$elem>, sums),
                    out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _,
                    out("zmm4") _, out("zmm5") _, out("zmm6") _, out("zmm7") _,
                    out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                    out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _,
                    out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
                    options(nostack),
                );
            }
        }

        /// Pairs of up to 12 rows.
        pub(super) static $pairs: [PairRun<$elem>; MAX_TILE_ROWS] = [$($pair::<$rows>),+];
    };
    ($elem:ty, $type:literal, $memory:literal, $all:literal, $pair:ident, $pairs:ident) => {
        pair!($elem, $type, $memory, $all, $pair, $pairs,
            [0 8, 1 9, 2 10, 3 11, 4 12, 5 13, 6 14, 7 15, 8 16, 9 17, 10 18, 11 19],
            [1 2 3 4 5 6 7 8 9 10 11 12]);
    };
}

/// The kernel of an element type: its suffix of instructions; for each row its index, where its
/// entry of A is, and the registers of its sums.
macro_rules! kernel {
    ($elem:ty, $type:literal, $memory:literal, $all:literal,
     $tile:ident, $kernel:ident, $pairs:ident,
     [$($row:literal $at:literal $lo:literal $hi:literal),+], [$($rows:literal)+]) => {
        /// `R` rows of one masked vector (`KIND` 1), of two (2), or of two of which the second is
        /// masked (3); with `PICK`, of picked rows of B.
        ///
        /// Loads are masked only where they must be: the mask takes a slot that a multiply-add
        /// could have.
        // SAFETY: the promises of `Tile`; the processor must have AVX-512F.
        unsafe fn $tile<const R: usize, const KIND: usize, const PICK: usize>(tile: &Tile<$elem>) {
            // SAFETY: reads and writes what the tile describes, valid by the caller's promise; what
            // it changes is named.
            unsafe {
                asm!(
                    "mov {c}, [{tile} + {of_c}]",
                    "mov {c_row}, [{tile} + {of_c_row}]",
                    "mov {a0}, {c}",
                    $(row!($row,
                        "prefetchw [{a0}]",
                        second!("prefetchw [{a0} + 64]"),
                        "add {a0}, {c_row}",
                        concat!("vpxord zmm", $lo, ", zmm", $lo, ", zmm", $lo),
                        second!("vpxord zmm", $hi, ", zmm", $hi, ", zmm", $hi)),)+
                    "mov {k}, [{tile} + {of_k}]",
                    "mov {a0}, [{tile} + {of_a}]",
                    "mov {a_row}, [{tile} + {of_a_row}]",
                    "mov {a_step}, [{tile} + {of_a_step}]",
                    "mov {b}, [{tile} + {of_b}]",
                    "mov {b_step}, [{tile} + {of_b_step}]",
                    "kmovw k1, [{tile} + {of_mask}]",
                    "lea {a3}, [{a0} + 2*{a_row}]",
                    "add {a3}, {a_row}",
                    "lea {a6}, [{a3} + 2*{a_row}]",
                    "add {a6}, {a_row}",
                    "lea {a9}, [{a6} + 2*{a_row}]",
                    "add {a9}, {a_row}",
                    ".if {pick}",
                    "mov {b_step}, {b}",
                    "mov {c}, [{tile} + {of_rows}]",
                    ".endif",
                    "mov {c_row}, [{tile} + {of_ahead}]",
                    "test {k}, {k}",
                    "jz 3f",
                    ".p2align 5",
                    "2:",
                    // Where rows are picked, `b` is the step's row, and `c` goes along the list
                    // until C is needed again.
                    ".if {pick}",
                    "mov {b:e}, dword ptr [{c}]",
                    "add {b}, {b_step}",
                    "add {c}, 4",
                    ".endif",
                    ".if {kind} == 1",
                    concat!("vmovup", $type, " zmm0 {{k1}}{{z}}, [{b}]"),
                    ".else",
                    concat!("vmovup", $type, " zmm0, [{b}]"),
                    ".endif",
                    ".if {kind} == 2",
                    concat!("vmovup", $type, " zmm1, [{b} + 64]"),
                    ".elseif {kind} == 3",
                    concat!("vmovup", $type, " zmm1 {{k1}}{{z}}, [{b} + 64]"),
                    ".endif",
                    ".if {rows} > 6 && {pick} == 0",
                    "prefetcht0 [{a0} + 8*{a_step}]",
                    "prefetcht0 [{b} + 8*{b_step}]",
                    second!("prefetcht0 [{b} + 8*{b_step} + 64]"),
                    "prefetcht0 [{b} + {c_row}]",
                    second!("prefetcht0 [{b} + {c_row} + 64]"),
                    ".endif",
                    // An entry that one vector is multiplied by is read by the multiplication.
                    $(row!($row,
                        ".if {kind} == 1",
                        concat!("vfmadd231p", $type, " zmm", $lo, ", zmm0, ",
                            $memory, " ptr ", $at, "{{", $all, "}}"),
                        ".else",
                        concat!("vbroadcasts", $type, " zmm2, ", $at),
                        concat!("vfmadd231p", $type, " zmm", $lo, ", zmm2, zmm0"),
                        concat!("vfmadd231p", $type, " zmm", $hi, ", zmm2, zmm1"),
                        ".endif"),)+
                    ".if {pick} == 0",
                    "add {b}, {b_step}",
                    ".endif",
                    "add {a0}, {a_step}",
                    row!(3, "add {a3}, {a_step}"),
                    row!(6, "add {a6}, {a_step}"),
                    row!(9, "add {a9}, {a_step}"),
                    "dec {k}",
                    "jnz 2b",
                    "3:",
                    "mov {c}, [{tile} + {of_c}]",
                    "mov {c_row}, [{tile} + {of_c_row}]",
                    concat!("vbroadcasts", $type, " zmm0, [{tile} + {of_alpha}]"),
                    "cmp dword ptr [{tile} + {of_add}], 1",
                    "je 4f",
                    "ja 6f",
                    $(row!($row,
                        concat!("vmulp", $type, " zmm", $lo, ", zmm", $lo, ", zmm0"),
                        second!("vmulp", $type, " zmm", $hi, ", zmm", $hi, ", zmm0")),)+
                    "6:",
                    $(row!($row,
                        ".if {kind} == 1",
                        concat!("vmovup", $type, " [{c}] {{k1}}, zmm", $lo),
                        ".else",
                        concat!("vmovup", $type, " [{c}], zmm", $lo),
                        concat!("vmovup", $type, " [{c} + 64] {{k1}}, zmm", $hi),
                        ".endif",
                        "add {c}, {c_row}"),)+
                    "jmp 5f",
                    "4:",
                    $(row!($row,
                        ".if {kind} == 1",
                        concat!("vfmadd213p", $type, " zmm", $lo, " {{k1}}, zmm0, [{c}]"),
                        concat!("vmovup", $type, " [{c}] {{k1}}, zmm", $lo),
                        ".else",
                        concat!("vfmadd213p", $type, " zmm", $lo, ", zmm0, [{c}]"),
                        concat!("vfmadd213p", $type, " zmm", $hi, " {{k1}}, zmm0, [{c} + 64]"),
                        concat!("vmovup", $type, " [{c}], zmm", $lo),
                        concat!("vmovup", $type, " [{c} + 64] {{k1}}, zmm", $hi),
                        ".endif",
                        "add {c}, {c_row}"),)+
                    "5:",
                    "vzeroupper",
                    tile = in(reg) tile,
                    k = out(reg) _,
                    a0 = out(reg) _,
                    a3 = out(reg) _,
                    a6 = out(reg) _,
                    a9 = out(reg) _,
                    a_row = out(reg) _,
                    a_step = out(reg) _,
                    b = out(reg) _,
                    b_step = out(reg) _,
                    c = out(reg) _,
                    c_row = out(reg) _,
                    rows = const R,
                    kind = const KIND,
                    pick = const PICK,
                    of_k = const offset_of!(Tile<$elem>, k),
                    of_a = const offset_of!(Tile<$elem>, a),
                    of_a_row = const offset_of!(Tile<$elem>, a_row),
                    of_a_step = const offset_of!(Tile<$elem>, a_step),
                    of_b = const offset_of!(Tile<$elem>, b),
                    of_b_step = const offset_of!(Tile<$elem>, b_step),
                    of_c = const offset_of!(Tile<$elem>, c),
                    of_c_row = const offset_of!(Tile<$elem>, c_row),
                    of_add = const offset_of!(Tile<$elem>, add),
                    of_mask = const offset_of!(Tile<$elem>, mask),
                    of_alpha = const offset_of!(Tile<$elem>, alpha),
                    of_rows = const offset_of!(Tile<$elem>, rows),
                    of_ahead = const offset_of!(Tile<$elem>, ahead),
                    out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _,
                    out("zmm4") _, out("zmm5") _, out("zmm6") _, out("zmm7") _,
                    out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                    out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _,
                    out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
                    out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _,
                    out("zmm24") _, out("zmm25") _, out("zmm26") _, out("zmm27") _,
                    out("zmm28") _, out("zmm29") _, out("zmm30") _, out("zmm31") _,
                    out("k1") _,
                    options(nostack),
                );
            }
        }

        /// Tiles of up to 12 rows of two vectors.
        pub(super) static $kernel: Kernel<$elem> = Kernel {
            name: "AVX-512",
            tiles: [$([$tile::<$rows, 1, 0>, $tile::<$rows, 2, 0>, $tile::<$rows, 3, 0>]),+],
            pairs: &$pairs,
            picking: [$([$tile::<$rows, 1, 1>, $tile::<$rows, 2, 1>, $tile::<$rows, 3, 1>]),+],
        };
    };
    ($elem:ty, $type:literal, $memory:literal, $all:literal,
     $tile:ident, $kernel:ident, $pairs:ident) => {
        kernel!($elem, $type, $memory, $all, $tile, $kernel, $pairs, [
            0 "[{a0}]" 8 9,
            1 "[{a0} + {a_row}]" 10 11,
            2 "[{a0} + 2*{a_row}]" 12 13,
            3 "[{a3}]" 14 15,
            4 "[{a3} + {a_row}]" 16 17,
            5 "[{a3} + 2*{a_row}]" 18 19,
            6 "[{a6}]" 20 21,
            7 "[{a6} + {a_row}]" 22 23,
            8 "[{a6} + 2*{a_row}]" 24 25,
            9 "[{a9}]" 26 27,
            10 "[{a9} + {a_row}]" 28 29,
            11 "[{a9} + 2*{a_row}]" 30 31
        ], [1 2 3 4 5 6 7 8 9 10 11 12]);
    };
}

kernel!(f32, "s", "dword", "1to16", single, F32, F32_PAIRS);
kernel!(f64, "d", "qword", "1to8", double, F64, F64_PAIRS);
pair!(f32, "s", "dword", "1to16", single_pair, F32_PAIRS);
pair!(f64, "d", "qword", "1to8", double_pair, F64_PAIRS);
