//! What client and server say to each other: calls, replies and errors of Varlink as types, and as the bytes of a frame. It must not know sockets,
//! nor who may do what.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The definition of our interface.
pub(super) const MANAGER: &str = include_str!("io.outboard.Manager.varlink");
/// The definition of the interface that every service has.
pub(super) const SERVICE: &str = include_str!("org.varlink.service.varlink");

/// A call as it is on the wire.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Call {
    /// The interface's name, a dot, and the method's.
    pub(super) method: String,
    #[serde(default)]
    pub(super) parameters: Option<Value>,
    /// More than one reply is welcome.
    #[serde(default)]
    pub(super) more: Option<bool>,
    /// No reply is.
    #[serde(default)]
    pub(super) oneway: Option<bool>,
}

/// A reply as it is on the wire.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Reply {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(default)]
    pub(super) parameters: Option<Value>,
    /// Another one follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) continues: Option<bool>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Method {
    ServiceInfo,
    Describe { interface: String },
    Info,
    Registry,
    Watch,
    Restart { device: String },
    Return { device: String },
    Give { rule: String },
    Log { follow: bool },
}

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    InterfaceNotFound(String),
    MethodNotFound(String),
    InvalidParameter(String),
    ExpectedMore,
    NoSuchDevice(String),
    NotServed(String),
    Refused(String),
    NotAllowed,
    /// One that this version does not know.
    Unknown(String),
}

impl Method {
    /// What a call asks for. Parameters that the definition does not name are refused, as a misspelt one would be.
    pub(super) fn of(call: &Call) -> Result<Self, Fault> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct None {}
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct OfDevice {
            device: String,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct OfRule {
            rule: String,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct OfInterface {
            interface: String,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct OfLog {
            follow: bool,
        }
        let none = |method: Self| read::<None>(call).map(|None {}| method);
        match call.method.as_str() {
            "org.varlink.service.GetInfo" => none(Self::ServiceInfo),
            "org.varlink.service.GetInterfaceDescription" => {
                read(call).map(|OfInterface { interface }| Self::Describe { interface })
            }
            "io.outboard.Manager.GetInfo" => none(Self::Info),
            "io.outboard.Manager.GetRegistry" => none(Self::Registry),
            "io.outboard.Manager.Watch" => none(Self::Watch),
            "io.outboard.Manager.Restart" => read(call).map(|OfDevice { device }| Self::Restart { device }),
            "io.outboard.Manager.Return" => read(call).map(|OfDevice { device }| Self::Return { device }),
            "io.outboard.Manager.Give" => read(call).map(|OfRule { rule }| Self::Give { rule }),
            "io.outboard.Manager.Log" => read(call).map(|OfLog { follow }| Self::Log { follow }),
            other => match other.rsplit_once('.') {
                Some((interface @ ("org.varlink.service" | "io.outboard.Manager"), method)) => {
                    Err(Fault::MethodNotFound(format!("{interface}.{method}")))
                }
                Some((interface, _)) => Err(Fault::InterfaceNotFound(interface.to_owned())),
                None => Err(Fault::InterfaceNotFound(other.to_owned())),
            },
        }
    }
}

fn read<T: DeserializeOwned>(call: &Call) -> Result<T, Fault> {
    // A method without parameters may be called without the object.
    let parameters = call.parameters.clone().unwrap_or_else(|| json!({}));
    T::deserialize(parameters).map_err(|error| Fault::InvalidParameter(error.to_string()))
}

impl Fault {
    /// Its name, and its parameter with that one's name.
    fn parts(&self) -> (String, Option<(&'static str, &str)>) {
        let (name, parameter) = match self {
            Self::InterfaceNotFound(name) => {
                ("org.varlink.service.InterfaceNotFound", Some(("interface", name)))
            }
            Self::MethodNotFound(name) => ("org.varlink.service.MethodNotFound", Some(("method", name))),
            Self::InvalidParameter(what) => {
                ("org.varlink.service.InvalidParameter", Some(("parameter", what)))
            }
            Self::ExpectedMore => ("org.varlink.service.ExpectedMore", None),
            Self::NoSuchDevice(device) => ("io.outboard.Manager.NoSuchDevice", Some(("device", device))),
            Self::NotServed(device) => ("io.outboard.Manager.NotServed", Some(("device", device))),
            Self::Refused(reason) => ("io.outboard.Manager.Refused", Some(("reason", reason))),
            Self::NotAllowed => ("io.outboard.Manager.NotAllowed", None),
            Self::Unknown(name) => (name.as_str(), None),
        };
        (name.to_owned(), parameter.map(|(key, value)| (key, value.as_str())))
    }

    /// As a reply.
    pub(super) fn reply(&self) -> Reply {
        let (name, parameter) = self.parts();
        let parameters = match parameter {
            Some((key, value)) => json!({ key: value }),
            None => json!({}),
        };
        Reply { error: Some(name), parameters: Some(parameters), continues: None }
    }

    /// From a reply: the error of this name with these parameters.
    pub(super) fn of(name: &str, parameters: Option<&Value>) -> Self {
        let text = |key: &str| {
            let value = parameters.and_then(|parameters| parameters.get(key)).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        match name {
            "org.varlink.service.InterfaceNotFound" => Self::InterfaceNotFound(text("interface")),
            "org.varlink.service.MethodNotFound" => Self::MethodNotFound(text("method")),
            "org.varlink.service.InvalidParameter" => Self::InvalidParameter(text("parameter")),
            "org.varlink.service.ExpectedMore" => Self::ExpectedMore,
            "io.outboard.Manager.NoSuchDevice" => Self::NoSuchDevice(text("device")),
            "io.outboard.Manager.NotServed" => Self::NotServed(text("device")),
            "io.outboard.Manager.Refused" => Self::Refused(text("reason")),
            "io.outboard.Manager.NotAllowed" => Self::NotAllowed,
            other => Self::Unknown(other.to_owned()),
        }
    }
}

impl Reply {
    /// A reply with these parameters.
    pub(super) fn with(parameters: Value) -> Self {
        Self { parameters: Some(parameters), ..Self::default() }
    }

    /// Whether another one follows.
    pub(super) fn continued(mut self, continues: bool) -> Self {
        self.continues = Some(continues);
        self
    }
}

/// A message as the bytes of its frame.
pub(super) fn frame(message: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(message)?;
    // JSON escapes a NUL, so that this one is the only one.
    bytes.push(0);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn method(text: &str) -> Result<Method, Fault> {
        Method::of(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn calls_are_understood_or_told_what_is_wrong() {
        assert_eq!(method(r#"{"method":"io.outboard.Manager.GetRegistry"}"#), Ok(Method::Registry));
        assert_eq!(
            method(r#"{"method":"io.outboard.Manager.Restart","parameters":{"device":"1-2"}}"#),
            Ok(Method::Restart { device: "1-2".into() })
        );
        assert_eq!(
            method(r#"{"method":"io.outboard.Manager.Restart","parameters":{"devise":"1-2"}}"#),
            Err(Fault::InvalidParameter("unknown field `devise`, expected `device`".into()))
        );
        assert_eq!(
            method(r#"{"method":"io.outboard.Manager.Explode"}"#),
            Err(Fault::MethodNotFound("io.outboard.Manager.Explode".into()))
        );
        assert_eq!(
            method(r#"{"method":"com.example.Other.Do"}"#),
            Err(Fault::InterfaceNotFound("com.example.Other".into()))
        );
        assert_eq!(method(r#"{"method":""}"#), Err(Fault::InterfaceNotFound(String::new())));
    }

    #[test]
    fn faults_arrive_as_they_were_sent() {
        for fault in [
            Fault::InterfaceNotFound("a.b".into()),
            Fault::MethodNotFound("a.b.C".into()),
            Fault::InvalidParameter("device".into()),
            Fault::ExpectedMore,
            Fault::NoSuchDevice("1-2".into()),
            Fault::NotServed("1-2".into()),
            Fault::Refused("it is \"busy\"".into()),
            Fault::NotAllowed,
        ] {
            let Reply { error, parameters, .. } = fault.reply();
            assert_eq!(Fault::of(&error.unwrap(), parameters.as_ref()), fault);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_call_or_are_none(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            if let Ok(call) = serde_json::from_slice::<Call>(&bytes) {
                let _ = Method::of(&call);
            }
        }

        #[test]
        fn any_call_and_any_text_are_answered(name in ".{0,60}", key in ".{0,20}", value in ".{0,60}") {
            let call = json!({"method": name, "parameters": {key.clone(): value.clone()}, "more": true}).to_string();
            if let Ok(call) = serde_json::from_str::<Call>(&call)
                && let Err(fault) = Method::of(&call)
            {
                let sent = frame(&fault.reply()).unwrap();
                prop_assert_eq!(sent.last(), Some(&0));
            }
            let sent = frame(&Fault::Refused(value).reply()).unwrap();
            prop_assert_eq!(sent.iter().filter(|byte| **byte == 0).count(), 1);
        }
    }
}
