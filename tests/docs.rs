//! The pages under contrib/docs say what is so.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use lone64::doctor::checks;

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/docs").join(name)).unwrap()
}

#[test]
fn the_page_of_the_doctor_has_every_check_in_the_order_of_its_report() {
    let text = page("doctor.md");
    let rows: Vec<_> = checks::ALL
        .iter()
        .map(|check| format!("| {} | `{}` | {} |", check.group.as_str(), check.name, check.asks))
        .collect();
    let found: Vec<_> = text.lines().filter(|line| rows.iter().any(|row| row == line)).collect();
    assert_eq!(found, rows, "the table of contrib/docs/doctor.md should be:\n{}", rows.join("\n"));
}

#[test]
fn every_page_is_in_the_table_and_every_link_leads_somewhere() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/docs");
    let index = page("README.md");
    for entry in fs::read_dir(&directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || index.contains(&format!("]({name})")), "{name} is not in the table");
        let text = page(&name);
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let is_elsewhere = link.starts_with("https://");
            assert!(is_elsewhere || directory.join(link).exists(), "{name} links to {link}");
        }
    }
}

#[test]
fn the_threat_model_names_tests_that_exist() {
    let text = page("threat-model.md");
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let named: Vec<_> = text
        .split('`')
        .filter_map(|quoted| quoted.split_once("::"))
        .filter(|(file, _)| !file.is_empty())
        .collect();
    assert!(named.len() > 10, "{named:?}");
    for (file, test) in named {
        let source = fs::read_to_string(tests.join(file).with_extension("rs")).unwrap_or_default();
        assert!(source.contains(&format!("fn {test}(")), "there is no test {test} in tests/{file}.rs");
    }
}
