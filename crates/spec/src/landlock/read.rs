//! Strict reading: every property has a known name, and what is wrong is named by where it stands.

use super::Kind;
use crate::ConfigError;
use serde_json::{Map, Value};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    pub value: &'a Value,
    pub field: String,
}

/// An object all of whose names are known.
#[derive(Debug)]
pub(super) struct Object<'a> {
    members: &'a Map<String, Value>,
    field: String,
}

pub(super) fn wrong(field: impl Into<String>, reason: impl Into<String>, cure: impl Into<String>) -> ConfigError {
    ConfigError { field: field.into(), reason: reason.into(), cure: cure.into() }
}

impl<'a> At<'a> {
    pub fn object(&self, names: &[&str]) -> Result<Object<'a>, ConfigError> {
        let members = self
            .value
            .as_object()
            .ok_or_else(|| wrong(&self.field, "not an object", "see docs/decisions/landlock-formats.md"))?;
        match members.keys().find(|name| !names.contains(&name.as_str())) {
            None => Ok(Object { members, field: self.field.clone() }),
            Some(unknown) => Err(wrong(
                format!("{}/{unknown}", self.field),
                format!("unknown property {unknown:?}"),
                format!("known: {}", names.join(", ")),
            )),
        }
    }

    pub fn text(&self) -> Result<&'a str, ConfigError> {
        self.value.as_str().ok_or_else(|| wrong(&self.field, "not a text", "put it in quotes"))
    }

    pub fn port(&self) -> Result<u16, ConfigError> {
        let number = self.value.as_u64().and_then(|number| u16::try_from(number).ok());
        number.ok_or_else(|| wrong(&self.field, format!("{} is not a port", self.value), "use a number from 0 to 65535"))
    }

    /// A right by its name, or several by the kernel's numbers.
    fn right(&self, kind: Kind, abi: Option<u32>) -> Result<u64, ConfigError> {
        if let Some(bits) = self.value.as_u64() {
            return Ok(bits);
        }
        let name = self.value.as_str();
        if abi.is_none() && name.is_some_and(|name| name.starts_with("abi.")) {
            return Err(wrong(
                &self.field,
                format!("{} needs the ABI whose rights it stands for", self.value),
                "add `abi`, for example 6",
            ));
        }
        let named = name.and_then(|name| kind.named(name, abi));
        let cure = || format!("known: {}, or bits of linux/landlock.h as a number", kind.all_names());
        named.ok_or_else(|| wrong(&self.field, format!("{} is not a right that can stand here", self.value), cure()))
    }
}

impl<'a> Object<'a> {
    /// `None` for what is absent, and for null: so Go writes what is absent.
    pub fn get(&self, name: &str) -> Option<At<'a>> {
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        Some(At { value, field: self.at(name) })
    }

    pub fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.field)
    }

    pub fn required(&self, name: &str) -> Result<At<'a>, ConfigError> {
        self.get(name).ok_or_else(|| wrong(self.at(name), "is missing", "add it"))
    }

    /// The elements of a list; none if it is absent.
    pub fn elements(&self, name: &str) -> Result<Vec<At<'a>>, ConfigError> {
        let Some(list) = self.get(name) else { return Ok(Vec::new()) };
        let elements = list.value.as_array().ok_or_else(|| wrong(&list.field, "not a list", "put it in brackets"))?;
        Ok(elements.iter().enumerate().map(|(index, value)| At { value, field: format!("{}/{index}", list.field) }).collect())
    }

    /// The elements of a list that has to be there, with something in it.
    pub fn some_elements(&self, name: &str) -> Result<Vec<At<'a>>, ConfigError> {
        let elements = self.elements(name)?;
        if elements.is_empty() {
            Err(wrong(self.at(name), "is missing or empty", "add what the rule is about"))
        } else {
            Ok(elements)
        }
    }

    /// All rights of a list together.
    pub fn rights(&self, name: &str, kind: Kind, abi: Option<u32>) -> Result<u64, ConfigError> {
        self.elements(name)?.iter().try_fold(0, |bits, element| Ok(bits | element.right(kind, abi)?))
    }

    /// The same for a list that has to allow something.
    pub fn some_rights(&self, name: &str, kind: Kind, abi: Option<u32>) -> Result<u64, ConfigError> {
        match self.rights(name, kind, abi)? {
            0 => Err(wrong(self.at(name), "allows nothing", "name a right, or remove the rule")),
            bits => Ok(bits),
        }
    }

    pub fn flag(&self, name: &str) -> Result<bool, ConfigError> {
        let Some(flag) = self.get(name) else { return Ok(false) };
        flag.value.as_bool().ok_or_else(|| wrong(flag.field, "neither true nor false", "write it without quotes"))
    }

    /// A version of the ABI, from 1.
    pub fn abi(&self, name: &str) -> Result<Option<u32>, ConfigError> {
        let Some(abi) = self.get(name) else { return Ok(None) };
        let number = abi.value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0);
        let number =
            number.ok_or_else(|| wrong(abi.field, format!("{} is not a Landlock ABI", abi.value), "use a number from 1"))?;
        Ok(Some(number))
    }
}
