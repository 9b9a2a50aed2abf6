//! The table of properties misses none that the types know, and the docs say what the table says.
#![allow(clippy::unwrap_used)]

use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor, value::Error};
use serde::{Deserialize, forward_to_deserialize_any};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use wolffia_spec::coverage::{self, Verdict};
use wolffia_spec::oci;

/// Stands for a document in which every property is set, and notes each property that a type asks for.
#[derive(Clone)]
struct FullDocument<'a> {
    path: String,
    asked: &'a RefCell<BTreeSet<String>>,
}

impl<'a> FullDocument<'a> {
    fn at(&self, suffix: &str) -> Self {
        Self { path: format!("{}{suffix}", self.path), ..self.clone() }
    }

    fn note(&self) {
        let path = self.path.trim_start_matches('.').trim_end_matches("[]").trim_end_matches("{}");
        self.asked.borrow_mut().insert(path.to_owned());
    }

    fn members(self, keys: &[&str]) -> Members<'a> {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        Members { document: self, keys: keys.into_iter(), current: String::new() }
    }
}

/// The elements of a list, or the members of an object, that are still to be handed out.
struct Members<'a> {
    document: FullDocument<'a>,
    keys: std::vec::IntoIter<String>,
    current: String,
}

impl<'de> SeqAccess<'de> for Members<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.keys.next().map(|suffix| seed.deserialize(self.document.at(&suffix))).transpose()
    }
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(key) = self.keys.next() else { return Ok(None) };
        self.current = if key == "{}" { key.clone() } else { format!(".{key}") };
        seed.deserialize(key.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.document.at(&self.current))
    }
}

impl<'de> Deserializer<'de> for FullDocument<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note();
        visitor.visit_u64(1)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note();
        visitor.visit_bool(true)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note();
        // The only texts that the types look into: capability names and lists of CPUs.
        visitor.visit_str(if self.path.contains(".capabilities.") { "CAP_CHOWN" } else { "0" })
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(self.members(&["[]"]))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(self.members(&["{}"]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(self.members(fields))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.note();
        let first = variants.first().ok_or_else(|| de::Error::custom("an enum without variants"))?;
        visitor.visit_enum((*first).into_deserializer())
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct newtype_struct
        tuple tuple_struct identifier ignored_any
    }
}

/// Every property that the types of `oci-spec` read.
fn known_to_the_types() -> BTreeSet<String> {
    let asked = RefCell::default();
    oci::Spec::deserialize(FullDocument { path: String::new(), asked: &asked }).unwrap();
    asked.into_inner()
}

/// The section of another platform, when `path` is in one.
fn platform(path: &str) -> Option<&str> {
    let top = path.split(['.', '[']).next()?;
    ["windows", "solaris", "vm", "zos"].into_iter().find(|platform| *platform == top)
}

/// What the types call otherwise than the specification, or have beside it.
fn in_the_specifications_words(path: &str) -> Option<String> {
    match path {
        "linux.intelRdt.enableCmt" => Some("linux.intelRdt.enableCMT".to_owned()),
        "linux.intelRdt.enableMbm" => Some("linux.intelRdt.enableMBM".to_owned()),
        // "has never existed in the OCI runtime spec", says oci-spec itself.
        _ if path.starts_with("uidMappings") || path.starts_with("gidMappings") => None,
        _ => Some(platform(path).unwrap_or(path).to_owned()),
    }
}

#[test]
fn the_table_has_every_property_once() {
    let listed: Vec<&str> = coverage::fields().map(|field| field.path).collect();
    let unique: BTreeSet<String> = listed.iter().map(|path| (*path).to_owned()).collect();
    assert_eq!(listed.len(), unique.len(), "a property is listed twice");

    let known: BTreeSet<String> = known_to_the_types().iter().filter_map(|path| in_the_specifications_words(path)).collect();
    assert!(known.len() > 100, "the walk found only {} properties", known.len());
    let missing: Vec<_> = known.difference(&unique).collect();
    assert!(missing.is_empty(), "the table misses {missing:?}");
    let invented: Vec<_> = unique.difference(&known).filter(|path| *path != "freebsd").collect();
    assert!(invented.is_empty(), "the types of oci-spec do not know {invented:?}: Extra must hold them");
}

#[test]
fn every_verdict_but_handled_says_why() {
    for field in coverage::fields() {
        match field.verdict {
            Verdict::Handled => {}
            Verdict::Refused(reason) | Verdict::Ignored(reason) | Verdict::Recorded(reason) => {
                assert!(!reason.is_empty(), "{}", field.path);
            }
        }
        assert!(["1.0", "1.0.2", "1.1", "1.2.1", "1.3"].contains(&field.since), "{} since {}", field.path, field.since);
    }
}

#[test]
fn the_docs_are_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/oci-support.md");
    let rendered = coverage::render();
    if std::env::var_os("WOLFFIA_BLESS").is_some() {
        std::fs::write(&file, &rendered).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == rendered, "{} is outdated: run the test with WOLFFIA_BLESS=1 and commit it", file.display());
}
