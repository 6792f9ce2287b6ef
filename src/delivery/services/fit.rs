//! Whether a Service is one that a subscription of its namespace may have requests sent to, and where it is.
//!
//! Touches nothing. Invariant: what passes has a selector. Without one, whoever may write EndpointSlices decides where the
//! ClusterIP leads, other namespaces and nodes included (CVE-2021-25740); an ExternalName leads to any name at all.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Service, ServicePort as Offered};

use super::super::endpoint::ServicePort;

/// Ports that a message names.
const SHOWN: usize = 8;

/// Why a Service is of no use as an endpoint: what starts with its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A name for anything.
    #[error(
        "has the type ExternalName, which may lead anywhere; name a Service of the type ClusterIP, or use endpoint.url"
    )]
    ExternalName,
    /// Its endpoints are made by hand.
    #[error(
        "has no selector, so its endpoints may lead anywhere; give it spec.selector, name another Service, or use \
         endpoint.url"
    )]
    NoSelector,
    /// There is no address of its own.
    #[error("is headless (spec.clusterIP is None), so it has no address of its own; name a Service with a ClusterIP")]
    Headless,
    /// Nothing was allocated, or nothing that can be read.
    #[error("has no ClusterIP; name a Service with one")]
    NoAddress,
    /// It offers nothing.
    #[error("has no ports; add one to its spec.ports")]
    NoPorts,
    /// It does not offer this.
    #[error("has no TCP port {wanted}; it has {offered}; correct endpoint.service.port, or the Service")]
    NoPort {
        /// What was asked for.
        wanted: ServicePort,
        /// What it offers.
        offered: String,
    },
}

/// The address and the port's number.
pub(super) fn fit(service: &Service, wanted: &ServicePort) -> Result<(IpAddr, u16), Unfit> {
    let spec = service.spec.as_ref().ok_or(Unfit::NoPorts)?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return Err(Unfit::ExternalName);
    }
    if spec.selector.as_ref().is_none_or(std::collections::BTreeMap::is_empty) {
        return Err(Unfit::NoSelector);
    }
    let address = match spec.cluster_ip.as_deref() {
        Some("None") => return Err(Unfit::Headless),
        Some(text) => text.parse().map_err(|_| Unfit::NoAddress)?,
        None => return Err(Unfit::NoAddress),
    };
    let ports = spec.ports.as_deref().unwrap_or_default();
    if ports.is_empty() {
        return Err(Unfit::NoPorts);
    }
    let over_tcp = |port: &&Offered| matches!(port.protocol.as_deref(), None | Some("TCP"));
    let is_wanted = |port: &&Offered| match wanted {
        ServicePort::Number(number) => port.port == i32::from(*number),
        ServicePort::Name(name) => port.name.as_deref() == Some(name),
    };
    let found = ports.iter().filter(over_tcp).find(is_wanted).and_then(|port| u16::try_from(port.port).ok());
    found.map(|port| (address, port)).ok_or_else(|| Unfit::NoPort { wanted: wanted.clone(), offered: offered(ports) })
}

fn offered(ports: &[Offered]) -> String {
    let one = |port: &Offered| {
        let number = match port.protocol.as_deref() {
            None | Some("TCP") => port.port.to_string(),
            Some(other) => format!("{} {other}", port.port),
        };
        match &port.name {
            Some(name) => format!("{name} ({number})"),
            None => number,
        }
    };
    let mut all: Vec<String> = ports.iter().take(SHOWN).map(one).collect();
    if ports.len() > SHOWN {
        all.push("others".to_owned());
    }
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn judge(spec: &Value, wanted: &ServicePort) -> Result<(IpAddr, u16), String> {
        let service = serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": spec})).unwrap();
        fit(&service, wanted).map_err(|unfit| unfit.to_string())
    }

    fn number(port: u16) -> ServicePort {
        ServicePort::Number(port)
    }

    fn name(port: &str) -> ServicePort {
        ServicePort::Name(port.to_owned())
    }

    fn spec() -> Value {
        json!({
            "clusterIP": "10.0.0.7", "type": "ClusterIP", "selector": {"app": "receiver"},
            "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "http", "port": 80, "protocol": "TCP"},
                {"name": "8443", "port": 9443}],
        })
    }

    #[test]
    fn a_port_is_found_by_its_number_or_its_name() {
        let at = |port| Ok(("10.0.0.7".parse().unwrap(), port));
        assert_eq!(judge(&spec(), &number(80)), at(80));
        assert_eq!(judge(&spec(), &name("http")), at(80));
        assert_eq!(judge(&spec(), &name("8443")), at(9443));
    }

    #[test]
    fn a_port_that_is_not_offered_over_tcp_is_refused_with_those_that_are() {
        for wanted in [number(8443), name("80"), name("dns"), number(53)] {
            let message = judge(&spec(), &wanted).unwrap_err();
            let start = format!("has no TCP port {wanted}; it has dns (53 UDP), http (80), 8443 (9443); correct ");
            assert!(message.starts_with(&start), "{message}");
        }
    }

    #[test]
    fn what_leads_anywhere_or_nowhere_is_refused_with_what_to_do() {
        let refused = |change: &dyn Fn(&mut Value)| {
            let mut spec = spec();
            change(&mut spec);
            judge(&spec, &number(80)).unwrap_err()
        };
        assert!(refused(&|spec| spec["type"] = "ExternalName".into()).contains("endpoint.url"));
        assert!(refused(&|spec| spec["selector"] = Value::Null).contains("spec.selector"));
        assert!(refused(&|spec| spec["selector"] = json!({})).contains("spec.selector"));
        assert!(refused(&|spec| spec["clusterIP"] = "None".into()).contains("headless"));
        assert!(refused(&|spec| spec["clusterIP"] = "".into()).contains("no ClusterIP"));
        assert!(refused(&|spec| spec["clusterIP"] = Value::Null).contains("no ClusterIP"));
        assert!(refused(&|spec| spec["ports"] = json!([])).contains("spec.ports"));
    }
}
