//! The flags that set the services' ports: `--port SERVICE=PORT`, `--user-port PORT` and the like, and `--any-port`.

use std::str::FromStr;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use service_kit::settings::whole_number;

use crate::services::{SERVICES, Service};

/// The id of `--port`.
const PORT: &str = "port";

/// The id of `--any-port`.
const ANY_PORT: &str = "any-port";

/// The port of each service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    /// In the order of [`SERVICES`].
    ports: Vec<u16>,
    /// Whether `--any-port` was given.
    all_free: bool,
}

/// The value of `--port`.
#[derive(Clone, Copy, Debug)]
struct ServicePort {
    service: &'static Service,
    port: u16,
}

// === impl Ports ===

impl Ports {
    /// Returns the port on which a service shall listen; 0 means any free one.
    pub fn get(&self, service: &Service) -> u16 {
        let position = SERVICES.iter().position(|other| other.name == service.name);
        position.map_or(service.port, |position| self.ports[position])
    }

    /// Returns whether everything shall listen on free ports.
    pub fn are_all_free(&self) -> bool {
        self.all_free
    }
}

/// Returns the name of the flag that sets the port of this service alone, without its dashes.
pub fn port_flag(service: &Service) -> String {
    format!("{}-port", service.short_name())
}

impl Args for Ports {
    fn augment_args(command: Command) -> Command {
        let own = SERVICES.iter().map(|service| {
            Arg::new(port_flag(service))
                .long(port_flag(service))
                .value_name("PORT")
                .value_parser(whole_number::<u16>(0, u16::MAX))
                .default_value(service.port.to_string())
                .help(format!("The {}'s port on 127.0.0.1; 0 picks a free one", service.words()))
        });
        let any = Arg::new(PORT)
            .long("port")
            .value_name("SERVICE=PORT")
            .value_parser(|text: &str| text.parse::<ServicePort>())
            .action(ArgAction::Append)
            .help("A service's port by the service's name, such as gateway=0; may be repeated");
        let free = Arg::new(ANY_PORT)
            .long(ANY_PORT)
            .action(ArgAction::SetTrue)
            .conflicts_with(PORT)
            .conflicts_with_all(SERVICES.iter().map(port_flag))
            .help("Every service takes a free port");
        command.args(own).arg(any).arg(free)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Ports {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        if matches.get_flag(ANY_PORT) {
            return Ok(Self { ports: vec![0; SERVICES.len()], all_free: true });
        }
        let port = |service: &Service| {
            let mut by_name = matches.get_many::<ServicePort>(PORT).unwrap_or_default();
            let own = || matches.get_one(&port_flag(service)).copied();
            let last = by_name.rfind(|entry| entry.service.name == service.name);
            last.map(|entry| entry.port).or_else(own).unwrap_or(service.port)
        };
        Ok(Self { ports: SERVICES.iter().map(port).collect(), all_free: false })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

// === impl ServicePort ===

impl FromStr for ServicePort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, port) = text.split_once('=').ok_or("expected SERVICE=PORT, such as gateway=0")?;
        let service = Service::find(name)?;
        let port = port.parse().map_err(|_| format!("invalid port '{port}': expected 0 to 65535"))?;
        Ok(Self { service, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &[&str]) -> Result<Ports, Error> {
        let command = Ports::augment_args(Command::new("up").no_binary_name(true));
        Ports::from_arg_matches(&command.try_get_matches_from(flags)?)
    }

    #[test]
    fn every_service_has_its_default_port_and_a_flag() {
        assert_eq!(parse(&[]).unwrap().ports, SERVICES.iter().map(|service| service.port).collect::<Vec<_>>());
        for service in SERVICES {
            let flag = format!("--{}", port_flag(service));
            assert_eq!(parse(&[&flag, "7"]).unwrap().get(service), 7);
        }
    }

    #[test]
    fn a_port_by_name_overrides_the_flag_and_the_last_one_wins() {
        let ports = parse(&["--port", "gateway=1", "--port", "gateway=0", "--gateway-port", "3", "--port", "user=4"]);
        let ports = ports.unwrap();
        assert_eq!(ports.ports[..3], [0, 4, 50053]);
    }

    #[test]
    fn any_port_is_for_every_service_and_for_no_other_port() {
        assert!(parse(&["--any-port"]).unwrap().ports.iter().all(|port| *port == 0));
        for port in ["--port=gateway=1", "--user-port=2"] {
            let error = parse(&["--any-port", port]).unwrap_err().to_string();
            let flag = port.split('=').next().unwrap();
            assert!(error.contains("'--any-port' cannot be used with") && error.contains(flag), "{error}");
        }
    }

    #[test]
    fn an_unknown_service_is_named_with_those_that_there_are() {
        let error = parse(&["--port", "nowhere=1"]).unwrap_err().to_string();
        assert!(error.contains("'nowhere'") && error.contains("gateway, user-service, country-service"), "{error}");
        assert!(parse(&["--port", "gateway"]).unwrap_err().to_string().contains("SERVICE=PORT"));
        assert!(parse(&["--port", "gateway=70000"]).unwrap_err().to_string().contains("65535"));
    }
}
