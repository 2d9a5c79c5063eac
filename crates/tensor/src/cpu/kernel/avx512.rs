//! Micro-kernels for AVX-512, in assembly: the intrinsics need a newer compiler than the library does.
//!
//! One or two vectors of B are loaded and one entry of A is broadcast per step and row; the sums stay in registers from the first step
//! to the last. The operands may lie anywhere: packed panels are only the case of short distances.

use std::arch::asm;

use super::blocked::{Kernel, Tile};

/// The lines, if the tile has such a row.
macro_rules! row {
    ($row:literal, $($line:expr),+) => { concat!(".if {rows} > ", $row, "\n", $($line, "\n",)+ ".endif") };
}

/// The line, if the tile is two vectors wide.
macro_rules! second {
    ($($text:expr),+) => { concat!(".if {kind} > 1\n", $($text,)+ "\n.endif") };
}

/// The kernel of an element type: its suffix of instructions; for each row its index, where its entry of
/// A is, and the registers of its sums.
macro_rules! kernel {
    ($elem:ty, $type:literal, $tile:ident, $kernel:ident,
     [$($row:literal $at:literal $lo:literal $hi:literal),+], [$($rows:literal)+]) => {
        /// `R` rows of one masked vector (`KIND` 1), of two (2), or of two of which the second is masked (3).
        ///
        /// Loads are masked only where they must be: the mask takes a slot that a multiply-add could have.
        // SAFETY: the promises of `Tile`; the processor must have AVX-512F.
        unsafe fn $tile<const R: usize, const KIND: usize>(tile: &Tile<$elem>) {
            // SAFETY: reads and writes what the tile describes, valid by the caller's promise; what it changes is named.
            unsafe {
                asm!(
                    "mov {c}, [{tile} + 48]",
                    "mov {c_row}, [{tile} + 56]",
                    "mov {a0}, {c}",
                    $(row!($row,
                        "prefetchw [{a0}]",
                        second!("prefetchw [{a0} + 64]"),
                        "add {a0}, {c_row}",
                        concat!("vpxord zmm", $lo, ", zmm", $lo, ", zmm", $lo),
                        second!("vpxord zmm", $hi, ", zmm", $hi, ", zmm", $hi)),)+
                    "mov {k}, [{tile}]",
                    "mov {a0}, [{tile} + 8]",
                    "mov {a_row}, [{tile} + 16]",
                    "mov {a_step}, [{tile} + 24]",
                    "mov {b}, [{tile} + 32]",
                    "mov {b_step}, [{tile} + 40]",
                    "kmovw k1, [{tile} + 72]",
                    "lea {a3}, [{a0} + 2*{a_row}]",
                    "add {a3}, {a_row}",
                    "lea {a6}, [{a3} + 2*{a_row}]",
                    "add {a6}, {a_row}",
                    "lea {a9}, [{a6} + 2*{a_row}]",
                    "add {a9}, {a_row}",
                    "test {k}, {k}",
                    "jz 3f",
                    ".p2align 5",
                    "2:",
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
                    ".if {rows} > 6",
                    "prefetcht0 [{a0} + 8*{a_step}]",
                    "prefetcht0 [{b} + 8*{b_step}]",
                    second!("prefetcht0 [{b} + 8*{b_step} + 64]"),
                    ".endif",
                    $(row!($row,
                        concat!("vbroadcasts", $type, " zmm2, ", $at),
                        concat!("vfmadd231p", $type, " zmm", $lo, ", zmm2, zmm0"),
                        second!("vfmadd231p", $type, " zmm", $hi, ", zmm2, zmm1")),)+
                    "add {b}, {b_step}",
                    "add {a0}, {a_step}",
                    row!(3, "add {a3}, {a_step}"),
                    row!(6, "add {a6}, {a_step}"),
                    row!(9, "add {a9}, {a_step}"),
                    "dec {k}",
                    "jnz 2b",
                    "3:",
                    concat!("vbroadcasts", $type, " zmm0, [{tile} + 80]"),
                    "cmp dword ptr [{tile} + 64], 0",
                    "jne 4f",
                    $(row!($row,
                        concat!("vmulp", $type, " zmm", $lo, ", zmm", $lo, ", zmm0"),
                        second!("vmulp", $type, " zmm", $hi, ", zmm", $hi, ", zmm0"),
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
                    out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _, out("zmm5") _,
                    out("zmm6") _, out("zmm7") _, out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                    out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _, out("zmm16") _, out("zmm17") _,
                    out("zmm18") _, out("zmm19") _, out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _,
                    out("zmm24") _, out("zmm25") _, out("zmm26") _, out("zmm27") _, out("zmm28") _, out("zmm29") _,
                    out("zmm30") _, out("zmm31") _,
                    out("k1") _,
                    options(nostack),
                );
            }
        }

        /// Tiles of up to 12 rows of two vectors.
        pub(super) static $kernel: Kernel<$elem> = Kernel {
            name: "AVX-512",
            tiles: [$([$tile::<$rows, 1>, $tile::<$rows, 2>, $tile::<$rows, 3>]),+],
        };
    };
    ($elem:ty, $type:literal, $tile:ident, $kernel:ident) => {
        kernel!($elem, $type, $tile, $kernel, [
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

kernel!(f32, "s", single, F32);
kernel!(f64, "d", double, F64);
