//! The calls to systemd (org.freedesktop.systemd1(5)), over zbus.

use super::aside::Trouble;
use super::bus::Bus;
use std::time::Duration;
use wolffia_plan::{PropertyValue, UnitProperty};
use zbus::blocking::{Connection, MessageIterator, connection::Builder};
use zbus::zvariant::{OwnedObjectPath, Value};
use zbus::{MatchRule, Message};

const DESTINATION: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// What systemd may take for one answer; the job that it starts is waited for by whoever carries the call out.
const PATIENCE: Duration = Duration::from_secs(25);
/// Signals of other jobs that are kept until they are looked at.
const MOST_SIGNALS: usize = 4096;

/// What systemd is asked for.
#[derive(Debug, Clone)]
pub(super) enum Call {
    Start { unit: String, slice: String, properties: Vec<UnitProperty>, pid: u32 },
    Attach { unit: String, below: String, pid: u32 },
    Set { unit: String, properties: Vec<UnitProperty> },
    Stop { unit: String },
    Discard { unit: String },
}

/// Carries `call` out. It waits for the job without a limit of its own.
pub(super) fn carry_out(bus: &Bus, call: Call) -> Result<(), Trouble> {
    let manager = Manager::connect(bus).map_err(|error| Trouble::Unreachable { reason: error.to_string() })?;
    let done = match call {
        Call::Start { unit, slice, properties, pid } => manager.start(&unit, &slice, properties, pid),
        Call::Attach { unit, below, pid } => manager.call("AttachProcessesToUnit", &(unit, below, [pid].as_slice())).map(drop),
        Call::Set { unit, properties } => manager.set(&unit, properties),
        Call::Stop { unit } => manager.stop(&unit),
        Call::Discard { unit } => manager.discard(&unit),
    };
    done.map_err(|error| Trouble::Refused { reason: words(&error) })
}

struct Manager {
    connection: Connection,
}

type Outcome<T> = Result<T, zbus::Error>;

impl Manager {
    fn connect(bus: &Bus) -> Outcome<Self> {
        let builder = Builder::address(bus.address.as_str())?.method_timeout(PATIENCE);
        let builder = match bus.uid {
            Some(uid) => builder.user_id(uid),
            None => builder,
        };
        Ok(Self { connection: builder.build()? })
    }

    fn call<B>(&self, method: &str, body: &B) -> Outcome<Message>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        self.connection.call_method(Some(DESTINATION), PATH, Some(MANAGER), method, body)
    }

    fn start(&self, unit: &str, slice: &str, mut properties: Vec<UnitProperty>, pid: u32) -> Outcome<()> {
        let mut discarded = false;
        loop {
            let mut values =
                vec![("Slice", Value::from(slice)), ("Delegate", Value::from(true)), ("PIDs", Value::from(vec![pid]))];
            values.extend(properties.iter().map(|property| (property.name.as_str(), value(&property.value))));
            let auxiliary: [(&str, Vec<(&str, Value<'_>)>); 0] = [];
            match self.job("StartTransientUnit", &(unit, "fail", &values, auxiliary.as_slice())) {
                // What is left of an earlier one.
                Err(error) if is(&error, "UnitExists") && !discarded => {
                    discarded = true;
                    self.discard(unit)?;
                }
                Err(error) => without_unknown(&mut properties, error)?,
                done => return done,
            }
        }
    }

    fn set(&self, unit: &str, mut properties: Vec<UnitProperty>) -> Outcome<()> {
        loop {
            let values: Vec<_> = properties.iter().map(|property| (property.name.as_str(), value(&property.value))).collect();
            match self.call("SetUnitProperties", &(unit, true, values)) {
                Err(error) => without_unknown(&mut properties, error)?,
                Ok(_) => return Ok(()),
            }
        }
    }

    fn stop(&self, unit: &str) -> Outcome<()> {
        match self.job("StopUnit", &(unit, "replace")) {
            Err(error) if is(&error, "NoSuchUnit") => Ok(()),
            stopped => stopped.and_then(|()| self.reset(unit)),
        }
    }

    /// Ends a unit in which nobody is. systemd does so itself, unless the last process died while it was being put there.
    fn discard(&self, unit: &str) -> Outcome<()> {
        let processes = match self.call("GetUnitProcesses", &(unit,)) {
            Err(error) if is(&error, "NoSuchUnit") => return Ok(()),
            answer => answer?,
        };
        let processes: Vec<(String, u32, String)> = processes.body().deserialize()?;
        if processes.is_empty() { self.stop(unit) } else { Ok(()) }
    }

    fn reset(&self, unit: &str) -> Outcome<()> {
        match self.call("ResetFailedUnit", &(unit,)) {
            Err(error) if !is(&error, "NoSuchUnit") => Err(error),
            _ => Ok(()),
        }
    }

    /// Calls a method that queues a job, and waits until that is done.
    fn job<B>(&self, method: &str, body: &B) -> Outcome<()>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender(DESTINATION)?
            .path(PATH)?
            .interface(MANAGER)?
            .member("JobRemoved")?
            .build();
        // Before the call, because the job may be done before its answer is read.
        let removed = MessageIterator::for_match_rule(rule, &self.connection, Some(MOST_SIGNALS))?;
        let job: OwnedObjectPath = self.call(method, body)?.body().deserialize()?;
        for message in removed {
            let message = message?;
            let (_, path, _, result): (u32, OwnedObjectPath, String, String) = message.body().deserialize()?;
            if path == job {
                return if result == "done" {
                    Ok(())
                } else {
                    Err(zbus::Error::Failure(format!("the job ended as \"{result}\"")))
                };
            }
        }
        Err(zbus::Error::Failure("the connection ended before the job did".to_owned()))
    }
}

/// Takes a property away that this systemd does not know: the limit is written to the cgroup's file too.
fn without_unknown(properties: &mut Vec<UnitProperty>, error: zbus::Error) -> Outcome<()> {
    let before = properties.len();
    if is(&error, "PropertyReadOnly") || is(&error, "UnknownProperty") {
        let text = words(&error);
        // "Cannot set property NAME, or unknown property."
        properties.retain(|property| !text.split([' ', ',']).any(|word| word == property.name));
    }
    if properties.len() < before { Ok(()) } else { Err(error) }
}

fn value(value: &PropertyValue) -> Value<'_> {
    match value {
        PropertyValue::Flag(flag) => Value::from(*flag),
        PropertyValue::Integer(number) => Value::from(*number),
        PropertyValue::Number(number) => Value::from(*number),
        PropertyValue::Text(text) => Value::from(text.as_str()),
        PropertyValue::List(list) => Value::from(list.clone()),
        PropertyValue::Bits(bits) => Value::from(bits.clone()),
        PropertyValue::Rates(rates) => Value::from(rates.clone()),
    }
}

/// Whether it is systemd's or D-Bus's error of this name.
fn is(error: &zbus::Error, name: &str) -> bool {
    matches!(error, zbus::Error::MethodError(full, _, _) if full.rsplit('.').next() == Some(name))
}

fn words(error: &zbus::Error) -> String {
    match error {
        zbus::Error::MethodError(_, Some(text), _) => text.clone(),
        other => other.to_string(),
    }
}
