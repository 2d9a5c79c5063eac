//! A process of its own for a test, with a kernel cache of its own: PoCL's does not bear several
//! processes. The unit tests and those in `tests/` share this.

/// Runs the named test of this program again, in another process. `false` in that process, which
/// is to do the work.
pub fn elsewhere(test: &str) -> bool {
    const CACHE: &str = "POCL_CACHE_DIR";
    const SECOND: &str = "VIVIT_TESTS_SECOND_RUN";
    if std::env::var_os(SECOND).is_some() {
        return false;
    }
    let name = format!("vivit-pocl-{}-{}", std::process::id(), test.replace("::", "-"));
    let cache = std::env::temp_dir().join(name);
    let _ = std::fs::create_dir_all(&cache);
    let program = std::env::current_exe().expect("the program's own path");
    let output = std::process::Command::new(program)
        .args(["--exact", test, "--nocapture"])
        .env(CACHE, &cache)
        .env(SECOND, "1")
        .output();
    let _ = std::fs::remove_dir_all(&cache);
    let output = output.expect("the program starts again");
    let told = String::from_utf8_lossy(&output.stdout);
    told.lines().filter(|line| line.contains("SKIPPED")).for_each(|line| println!("{line}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{errors}");
    true
}
