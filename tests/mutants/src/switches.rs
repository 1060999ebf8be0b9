//! Puts the mutants of one file behind switches: `if on(7) { a <= b } else { a < b }` in the place of `a < b`.
//!
//! The file is parsed, and its text is written again with each changed expression inside its switch. A comment marks where
//! a mutant begins and ends, so that an error of the compiler leads to the mutant that it is about.

use std::collections::BTreeMap;
use std::ops::Range;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::list::{Genre, Mutant};

/// The name of the function that says whether a mutant is on.
const ON: &str = "crate::switch::on";

/// Of a function that returns `impl Iterator`, what it returns without a mutant, and with one.
const REAL: &str = "crate::switch::Returned::Real";
const OTHER: &str = "crate::switch::Returned::Other";

/// The file with its mutants, and the numbers of those that have no place in it: constants and `const fn`.
pub fn rewrite(source: &str, mutants: &[&Mutant]) -> (String, Vec<u32>) {
    let file = syn::parse_file(source).expect("cargo-mutants has parsed it, too");
    let mut by_place: BTreeMap<usize, Vec<&Mutant>> = BTreeMap::new();
    for mutant in mutants {
        by_place.entry(mutant.span.start).or_default().push(mutant);
    }
    let mut finder = Finder { by_place, sites: Vec::new(), constant: 0, placed: Vec::new() };
    finder.visit_file(&file);
    finder.sites.sort_by_key(|site| (site.range.start, std::cmp::Reverse(site.range.end)));
    let text = Writer { source, sites: &finder.sites }.write(0..source.len());
    let unplaced =
        mutants.iter().map(|mutant| mutant.number).filter(|number| !finder.placed.contains(number));
    (text, unplaced.collect())
}

/// A piece of the text in whose place others come.
struct Site {
    range: Range<usize>,
    form: Form,
}

enum Form {
    /// Text of the switch alone. The range is empty.
    Insert(String),
    /// `left op right`, with the operators that replace it.
    Binary { left: Range<usize>, operator: String, right: Range<usize>, others: Vec<(u32, String)> },
    /// `left && right` and `left || right`: the right side is written once, as chains of them are long.
    Short { left: Range<usize>, right: Range<usize>, is_and: bool, number: u32 },
    /// An operator before its operand, and the mutant without it.
    Unary { operator: String, operand: Range<usize>, number: u32 },
    /// A struct with a base, and the mutants that lack one field each.
    Fields { brace: usize, without: Vec<(u32, Range<usize>)> },
}

impl Site {
    fn numbers(&self) -> Vec<u32> {
        match &self.form {
            Form::Insert(_) => Vec::new(),
            Form::Binary { others, .. } => others.iter().map(|(number, _)| *number).collect(),
            Form::Short { number, .. } | Form::Unary { number, .. } => vec![*number],
            Form::Fields { without, .. } => without.iter().map(|(number, _)| *number).collect(),
        }
    }
}

struct Finder<'a> {
    by_place: BTreeMap<usize, Vec<&'a Mutant>>,
    sites: Vec<Site>,
    /// How many constants we are inside of: no switch can stand there.
    constant: usize,
    placed: Vec<u32>,
}

impl Finder<'_> {
    /// The mutants of that genre that begin there.
    fn take(&mut self, start: usize, genre: Genre) -> Vec<(u32, String)> {
        if self.constant > 0 {
            return Vec::new();
        }
        let here = self.by_place.get(&start).into_iter().flatten().filter(|mutant| mutant.genre == genre);
        let taken: Vec<_> = here.map(|mutant| (mutant.number, mutant.replacement.clone())).collect();
        self.placed.extend(taken.iter().map(|(number, _)| *number));
        taken
    }

    /// A function returns another value at once.
    fn function(&mut self, returned: &syn::ReturnType, block: &syn::Block) {
        let Some(first) = block.stmts.first() else { return };
        let values = self.take(range(first).start, Genre::Function);
        if values.is_empty() {
            return;
        }
        let is_opaque =
            matches!(returned, syn::ReturnType::Type(_, kind) if matches!(**kind, syn::Type::ImplTrait(_)));
        let mut text = String::new();
        for (number, value) in &values {
            let value = if is_opaque {
                format!("{OTHER}({value}.collect::<Vec<_>>().into_iter())")
            } else {
                value.clone()
            };
            text += &format!(" if {ON}({number}) {{ {} }}", marked(&[*number], &format!("return {value};")));
        }
        let braces = block.brace_token.span;
        let (open, close) = (braces.open().byte_range().end, braces.close().byte_range().start);
        if is_opaque {
            let numbers: Vec<u32> = values.iter().map(|(number, _)| *number).collect();
            text += &format!(" {}{REAL}({{", begin(&numbers));
            self.sites.push(Site { range: close..close, form: Form::Insert(format!("}}){END}")) });
        }
        self.sites.push(Site { range: open..open, form: Form::Insert(text) });
    }

    fn within_constant(&mut self, is_constant: bool, visit: impl FnOnce(&mut Self)) {
        self.constant += usize::from(is_constant);
        visit(self);
        self.constant -= usize::from(is_constant);
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.within_constant(item.sig.constness.is_some(), |finder| {
            finder.function(&item.sig.output, &item.block);
            visit::visit_item_fn(finder, item);
        });
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.within_constant(item.sig.constness.is_some(), |finder| {
            finder.function(&item.sig.output, &item.block);
            visit::visit_impl_item_fn(finder, item);
        });
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig.output, block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.within_constant(true, |finder| visit::visit_item_const(finder, item));
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.within_constant(true, |finder| visit::visit_item_static(finder, item));
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.within_constant(true, |finder| visit::visit_impl_item_const(finder, item));
    }

    fn visit_type(&mut self, kind: &'ast syn::Type) {
        self.within_constant(true, |finder| visit::visit_type(finder, kind));
    }

    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
        self.within_constant(true, |finder| finder.visit_expr(&repeat.len));
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        let operator = range(&binary.op);
        let text = name(&binary.op);
        let sides = (range(&*binary.left), range(&*binary.right));
        let all = sides.0.start..sides.1.end;
        let is_short = matches!(binary.op, syn::BinOp::And(_) | syn::BinOp::Or(_));
        // The parts of a chain with `let` cannot be taken apart.
        if !(is_short && (has_let(&binary.left) || has_let(&binary.right))) {
            let others = self.take(operator.start, Genre::Binary);
            if is_short && let Some((number, _)) = others.first() {
                let is_and = matches!(binary.op, syn::BinOp::And(_));
                let form = Form::Short { left: sides.0, right: sides.1, is_and, number: *number };
                self.sites.push(Site { range: all, form });
            } else if !others.is_empty() {
                let form = Form::Binary { left: sides.0, operator: text, right: sides.1, others };
                self.sites.push(Site { range: all, form });
            }
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        let operator = range(&unary.op);
        let operand = range(&*unary.expr);
        if let Some((number, _)) = self.take(operator.start, Genre::Unary).into_iter().next() {
            let all = operator.start..operand.end;
            self.sites
                .push(Site { range: all, form: Form::Unary { operator: name(&unary.op), operand, number } });
        }
        visit::visit_expr_unary(self, unary);
    }

    /// Where a pattern is missing, the compiler points at what is matched.
    fn visit_expr_match(&mut self, value: &'ast syn::ExprMatch) {
        let mut numbers = Vec::new();
        for arm in &value.arms {
            numbers.extend(self.take(start(arm), Genre::Arm).into_iter().map(|(number, _)| number));
        }
        if !numbers.is_empty() {
            let matched =
                (value.match_token.span().byte_range().end, value.brace_token.span.open().byte_range().start);
            for (at, text) in [(matched.0, begin(&numbers)), (matched.1, END.to_owned())] {
                self.sites.push(Site { range: at..at, form: Form::Insert(text) });
            }
        }
        visit::visit_expr_match(self, value);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let deleted = self.take(start(arm), Genre::Arm).into_iter().map(|(number, _)| number).next();
        let arrow = arm.fat_arrow_token.span().byte_range().start;
        let is_there = deleted.map(|number| marked(&[number], &format!("!{ON}({number})")));
        if let Some((word, guard)) = &arm.guard {
            let word = word.span().byte_range().end;
            let mut before = is_there.map_or(String::new(), |text| format!(" {text} && "));
            let others = self.take(range(&**guard).start, Genre::Guard);
            before += " (";
            let mut others_text = String::new();
            for (number, value) in &others {
                match value.as_str() {
                    "true" => {
                        others_text += &format!("{} || ", marked(&[*number], &format!("{ON}({number})")))
                    }
                    _ => before += &format!("{} && (", marked(&[*number], &format!("!{ON}({number})"))),
                }
            }
            let opened = before.matches('(').count() - before.matches(')').count();
            if !others.is_empty() || deleted.is_some() {
                self.sites.push(Site { range: word..word, form: Form::Insert(before + &others_text + "(") });
                let end = ")".repeat(opened + 1) + " ";
                self.sites.push(Site { range: arrow..arrow, form: Form::Insert(end) });
            }
        } else if let Some(text) = is_there {
            self.sites.push(Site { range: arrow..arrow, form: Form::Insert(format!("if {text} ")) });
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_struct(&mut self, value: &'ast syn::ExprStruct) {
        let mut without = Vec::new();
        for pair in value.fields.pairs() {
            let field = range(pair.value());
            let end = pair.punct().map_or(field.end, |comma| comma.span().byte_range().end);
            without.extend(
                self.take(field.start, Genre::Field)
                    .into_iter()
                    .map(|(number, _)| (number, field.start..end)),
            );
        }
        if !without.is_empty() {
            let brace = value.brace_token.span.open().byte_range().end;
            self.sites.push(Site { range: range(value), form: Form::Fields { brace, without } });
        }
        visit::visit_expr_struct(self, value);
    }
}

struct Writer<'a> {
    source: &'a str,
    sites: &'a [Site],
}

impl Writer<'_> {
    /// The text of a range, with the sites inside it.
    fn write(&self, range: Range<usize>) -> String {
        let mut text = String::new();
        let mut at = range.start;
        let first = self.sites.partition_point(|site| site.range.start < range.start);
        for site in &self.sites[first..] {
            if site.range.start >= range.end {
                break;
            }
            if site.range.start >= at && site.range.end <= range.end {
                text += &self.source[at..site.range.start];
                let numbers = site.numbers();
                let written = self.site(site);
                text += &if numbers.is_empty() { written } else { marked(&numbers, &written) };
                at = site.range.end;
            }
        }
        text + &self.source[at..range.end]
    }

    fn site(&self, site: &Site) -> String {
        match &site.form {
            Form::Insert(text) => text.clone(),
            Form::Binary { left, operator, right, others } => {
                let (left, right) = (self.write(left.clone()), self.write(right.clone()));
                let mut text = "(".to_owned();
                // A comparison looks at its sides, and takes nothing; an assignment needs the place itself.
                let is_arithmetic =
                    !operator.contains(['=', '<', '>']) || ["<<", ">>"].contains(&&**operator);
                let first = if is_arithmetic { "left__" } else { &left };
                if is_arithmetic {
                    text += &format!("match {left} {{ left__ => ");
                }
                for (number, other) in others {
                    text += &format!(
                        "if {ON}({number}) {{ {} }} else ",
                        marked(&[*number], &format!("({first}) {other} ({right})"))
                    );
                }
                text += &format!("{{ ({first}) {operator} ({right}) }}");
                text + if is_arithmetic { "})" } else { ")" }
            }
            Form::Short { left, right, is_and, number } => {
                let (left, right) = (self.write(left.clone()), self.write(right.clone()));
                let is_on = marked(&[*number], &format!("{ON}({number})"));
                let compare = if *is_and { "!=" } else { "==" };
                format!(
                    "({{ let left__: bool = {left}; if left__ {compare} {is_on} {{ {right} }} else {{ left__ }} }})"
                )
            }
            Form::Unary { operator, operand, number } => {
                let operand = self.write(operand.clone());
                let without = marked(&[*number], &operand);
                format!("(if {ON}({number}) {{ {without} }} else {{ {operator}({operand}) }})")
            }
            Form::Fields { brace, without } => {
                let whole = |but: Range<usize>| {
                    self.write(site.range.start..*brace)
                        + &self.write(*brace..but.start)
                        + &self.write(but.end..site.range.end)
                };
                let mut text = "(".to_owned();
                for (number, field) in without {
                    text += &format!(
                        "if {ON}({number}) {{ {} }} else ",
                        marked(&[*number], &whole(field.clone()))
                    );
                }
                text + &format!("{{ {} }})", whole(*brace..*brace))
            }
        }
    }
}

/// What belongs to those mutants: an error in it is about them.
fn marked(numbers: &[u32], text: &str) -> String {
    format!("{}{text}{END}", begin(numbers))
}

fn begin(numbers: &[u32]) -> String {
    format!("/*<{}*/", numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(","))
}

const END: &str = "/*>*/";

/// The mutants that the innermost mark around that place names.
pub fn at(text: &str, place: usize) -> Vec<u32> {
    let mut open: Vec<Vec<u32>> = Vec::new();
    for (start, _) in text[..place].match_indices("/*") {
        let mark = &text[start + 2..];
        match mark.strip_prefix('<').and_then(|mark| mark.split_once("*/")) {
            Some((numbers, _)) => {
                open.push(numbers.split(',').filter_map(|number| number.parse().ok()).collect())
            }
            None if mark.starts_with(">*/") => drop(open.pop()),
            None => {}
        }
    }
    open.into_iter().rev().find(|numbers| !numbers.is_empty()).unwrap_or_default()
}

/// The operator as text.
fn name(operator: &impl Spanned) -> String {
    operator.span().source_text().expect("the text of a file that was parsed")
}

/// Where an arm begins, with its attributes.
fn start(arm: &syn::Arm) -> usize {
    arm.attrs.first().map_or_else(|| range(&arm.pat).start, |first| range(first).start)
}

fn range(node: &impl Spanned) -> Range<usize> {
    node.span().byte_range()
}

/// Whether this is a chain of `&&` with a `let` in it.
fn has_let(expression: &syn::Expr) -> bool {
    match expression {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) if matches!(binary.op, syn::BinOp::And(_)) => {
            has_let(&binary.left) || has_let(&binary.right)
        }
        _ => false,
    }
}
