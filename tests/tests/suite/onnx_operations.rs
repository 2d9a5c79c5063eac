//! The page of ONNX's operations in the documentation: written by the node tests that prove it.

use std::collections::BTreeSet;
use std::path::Path;

use vivit::tensor::Device;
use vivit_tests::nodes;
use vivit_tests::report::Report;

/// What is not supported, and why not.
const UNSUPPORTED: [(&[&str], &str); 13] = [
    (&["Loop", "Scan", "SequenceMap"], "how often nodes run must follow from the file"),
    (
        &[
            "Bernoulli",
            "Multinomial",
            "RandomNormal",
            "RandomNormalLike",
            "RandomUniform",
            "RandomUniformLike",
        ],
        "a random result is no function of inputs and parameters",
    ),
    (
        &[
            "ConvInteger",
            "DequantizeLinear",
            "DynamicQuantizeLinear",
            "MatMulInteger",
            "QLinearConv",
            "QLinearMatMul",
            "QuantizeLinear",
        ],
        "quantised arithmetic has no derivatives; export the network before it is quantised",
    ),
    (&["Compress", "Unique"], "the length of the result depends on numbers, not on shapes alone"),
    (
        &["NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"],
        "losses are not part of the network: export it without its loss",
    ),
    (&["Scatter", "Upsample"], "withdrawn from ONNX before the oldest version that is read"),
    (&["Optional", "OptionalGetElement", "OptionalHasElement"], "values that may be missing"),
    (
        &[
            "ImageDecoder",
            "RegexFullMatch",
            "StringConcat",
            "StringNormalizer",
            "StringSplit",
            "TfIdfVectorizer",
        ],
        "texts and encoded images",
    ),
    (
        &["BitCast", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor"],
        "bits of whole numbers",
    ),
    (
        &["BlackmanWindow", "DFT", "HammingWindow", "HannWindow", "MelWeightMatrix", "STFT"],
        "Fourier transforms and their windows: not implemented",
    ),
    (
        &["AffineGrid", "DeformConv", "GridSample", "MaxRoiPool", "NonMaxSuppression", "RoiAlign"],
        "samples at computed places of an image: not implemented",
    ),
    (
        &["CausalConvWithState", "LinearAttention", "TensorScatter"],
        "states and caches of text generation: not implemented",
    ),
    (
        &["CenterCropPad", "Col2Im", "CumProd", "Det", "MaxUnpool", "ReverseSequence", "SwiGLU"],
        "not implemented",
    ),
];

/// The node tests of which all rows passed, and those of which one failed.
fn verdicts(report: &Report, suffix: &str) -> BTreeSet<String> {
    let name = |case: &str| case.strip_suffix(suffix).unwrap_or(case).to_string();
    let rows = || report.rows.iter().filter(|row| !row.is_unsupported());
    let failed: BTreeSet<String> =
        rows().filter(|row| row.is_failure()).map(|row| name(&row.case)).collect();
    assert!(failed.is_empty(), "node tests fail: {failed:?}");
    rows().map(|row| name(&row.case)).collect()
}

fn page() -> String {
    let file = nodes::own_nodes();
    let (mut forward, mut derivatives) = (Report::default(), Report::default());
    nodes::check(&file, &Device::cpu_f64(), &mut forward).unwrap();
    nodes::check_derivatives(&file, &mut derivatives).unwrap();
    let (forward, derivatives) = (verdicts(&forward, " f64"), verdicts(&derivatives, ""));
    let tests = nodes::tests_by_operation(&file).unwrap();
    let (least, newest) = vivit::onnx::OPSETS;

    let mut text = format!(
        "# Operations of ONNX\n\n\
         Versions {least} to {newest} of ONNX's operations are read. The numbers count ONNX's own \
         node tests with the operation: those whose outputs come out, and those whose derivatives \
         to second order agree with finite differences. Tests of older versions and of lists are \
         not among them. The test suite runs them and writes this page.\n\n\
         | operation | limits | outputs | derivatives |\n| --- | --- | --- | --- |\n"
    );
    for (op, limits) in vivit::onnx::operations() {
        let count = |passed: &BTreeSet<String>| {
            let of_op = tests.get(op).into_iter().flatten();
            of_op.filter(|name| passed.contains(*name)).count()
        };
        text += &format!("| {op} | {limits} | {} | {} |\n", count(&forward), count(&derivatives));
    }
    text += "\n## Not supported\n\n\
             A file with one of these is refused with the names of its nodes; so is one with \
             operations of another domain than ONNX's own, which a runtime's optimiser writes.\n\n\
             | operations | why not |\n| --- | --- |\n";
    for (ops, why) in UNSUPPORTED {
        text += &format!("| {} | {why} |\n", ops.join(", "));
    }
    text
}

#[test]
fn the_page_says_what_the_node_tests_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/onnx.md");
    let page = page();
    if std::env::var_os("VIVIT_WRITE_SUPPORT").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == page,
        "docs/onnx.md is not what the node tests say; run this test with VIVIT_WRITE_SUPPORT=1 to \
         write it anew"
    );
}

#[test]
fn no_operation_is_both_supported_and_not() {
    let supported: BTreeSet<&str> = vivit::onnx::operations().map(|(op, _)| op).collect();
    let refused = UNSUPPORTED.iter().flat_map(|(ops, _)| ops.iter().copied());
    let both: Vec<&str> = refused.filter(|op| supported.contains(op)).collect();
    assert!(both.is_empty(), "{both:?}");
}
