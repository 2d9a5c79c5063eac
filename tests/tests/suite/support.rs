//! The table of layers and quantities in the documentation: written by the checks that prove it, so
//! that it can't claim more than works.

use std::path::Path;

use vivit_tests::report::Report;
use vivit_tests::{dense, zoo};

/// Columns of the table, and the checks that each of them needs.
const COLUMNS: [(&str, &[&str]); 12] = [
    ("gradient", &["gradient"]),
    ("`BatchGrad`", &["BatchGrad"]),
    ("`BatchL2Grad`, `SumGradSquared`, `Variance`", &["BatchL2Grad", "SumGradSquared", "Variance"]),
    ("`SqrtGgn`", &["V Vᵀ, column by column", "V Vᵀ with C columns"]),
    ("`DiagGgn`, `BatchDiagGgn`", &["DiagGgn", "BatchDiagGgn"]),
    ("`DiagHessian`, `BatchDiagHessian`", &["DiagHessian", "BatchDiagHessian"]),
    ("`Jacobian`", &["Jacobian"]),
    (
        "products with GGN, Hessian, empirical Fisher",
        &["GGN product", "Hessian product", "empirical Fisher product"],
    ),
    ("`jvp`, `vjp`", &["J·v", "⟨u, J v⟩ and ⟨Jᵀu, v⟩"]),
    ("spectrum", &["spectrum"]),
    ("γ, λ, eigenvectors", &["|γ|", "λ", "eigenvectors"]),
    ("Newton step", &["Newton step"]),
];

fn table() -> String {
    let mut text = String::from(
        "# What works with what\n\n\
         Every cell is a comparison with finite differences and dense definitions that the test \
         suite makes; the suite writes this page.\n\
         Batch norm in training mode couples the samples of a batch: there are plain gradients, \
         and everything per sample is an error that says so.\n\n",
    );
    text += &format!("| layer or loss | {} |\n", COLUMNS.map(|(column, _)| column).join(" | "));
    text += &format!("| --- |{}\n", " --- |".repeat(COLUMNS.len()));
    for problem in zoo::layers::each() {
        let mut report = Report::default();
        dense::check(&problem, &mut report);
        let cells = COLUMNS.map(|(_, checks)| {
            let passed = |check: &&str| {
                report.rows.iter().any(|row| row.quantity == **check && !row.is_failure())
            };
            if checks.iter().all(passed) { "yes" } else { "**no**" }
        });
        text += &format!("| {} | {} |\n", problem.name, cells.join(" | "));
    }
    text
}

#[test]
fn the_page_says_what_the_checks_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/support.md");
    let table = table();
    if std::env::var_os("VIVIT_WRITE_SUPPORT").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &table).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == table,
        "docs/support.md is not what the checks say; run this test with VIVIT_WRITE_SUPPORT=1 to \
         write it anew"
    );
    assert!(!table.contains("**no**"), "{table}");
}
