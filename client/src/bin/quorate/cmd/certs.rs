//! `quorate certs`: the authority of a cluster and the certificates it issues.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use quorate_client::provision::{Authority, Issued, ProvisionError, Validity};
use quorate_protocol::ClusterId;
use quorate_ring::NodeId;
use serde_json::json;

use crate::files::{Access, NewFiles};
use crate::outcome::{Done, Failure};
use crate::output::Out;

#[derive(Subcommand)]
pub(crate) enum Certs {
    /// Make a certificate authority: ca.pem and ca.key
    Ca(Ca),
    /// Issue a node's certificate, for both of its ports
    Node(Node),
    /// Issue a client's certificate
    Client(Client),
}

#[derive(Args)]
pub(crate) struct Ca {
    /// The cluster's name, for people
    #[arg(long)]
    name: String,
    /// The cluster's id, 32 hex digits [default: drawn at random]
    #[arg(long)]
    cluster: Option<ClusterId>,
    #[command(flatten)]
    place: Place,
    /// Valid for so many days from now
    #[arg(long, default_value_t = 3653)]
    days: u32,
}

#[derive(Args)]
pub(crate) struct Node {
    /// The node's id, 16 hex digits
    #[arg(long)]
    id: NodeId,
    /// Name of the files, without .pem and .key [default: the id]
    #[arg(long)]
    file_name: Option<String>,
    #[command(flatten)]
    leaf: Leaf,
}

#[derive(Args)]
pub(crate) struct Client {
    /// The name under which nodes know the client
    #[arg(long)]
    name: String,
    /// Name of the files, without .pem and .key [default: the client's name]
    #[arg(long)]
    file_name: Option<String>,
    #[command(flatten)]
    leaf: Leaf,
}

#[derive(Args)]
struct Place {
    /// The directory to write into
    #[arg(long)]
    out: PathBuf,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

#[derive(Args)]
struct Leaf {
    /// The directory with the authority's ca.pem and ca.key
    #[arg(long)]
    ca: PathBuf,
    /// Valid for so many days from its start
    #[arg(long, default_value_t = 731)]
    days: u32,
    /// Valid from so many days from now; negative: ago
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    starts_in_days: i32,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(command: Certs, out: &mut Out) -> Done {
    match command {
        Certs::Ca(args) => ca(args, out),
        Certs::Node(args) => {
            let name = args.file_name.unwrap_or_else(|| args.id.to_string());
            leaf(&args.leaf, &name, out, |authority, validity| {
                authority.node(args.id, validity)
            })
        }
        Certs::Client(args) => {
            let name = args.file_name.unwrap_or_else(|| args.name.clone());
            leaf(&args.leaf, &name, out, |authority, validity| {
                authority.client(&args.name, validity)
            })
        }
    }
}

fn ca(args: Ca, out: &mut Out) -> Done {
    let random = || -> Result<_, getrandom::Error> {
        Ok(ClusterId::new(getrandom::u64()?, getrandom::u64()?))
    };
    let cluster = match args.cluster {
        Some(cluster) => cluster,
        None => random().map_err(|error| Failure::Failed(format!("no random numbers: {error}")))?,
    };
    let authority =
        Authority::create(cluster, &args.name, Validity::days(args.days)).map_err(refused)?;
    write(&authority, "ca", &authority.issued(), args.place, out)
}

fn leaf(
    args: &Leaf,
    name: &str,
    out: &mut Out,
    issue: impl FnOnce(&Authority, Validity) -> Result<Issued, ProvisionError>,
) -> Done {
    let authority = read_authority(&args.ca)?;
    let from = shifted(SystemTime::now(), args.starts_in_days);
    let until = from + Duration::from_secs(86_400) * args.days;
    let issued = issue(&authority, Validity { from, until }).map_err(refused)?;
    let place = Place {
        out: args.place.out.clone(),
        force: args.place.force,
    };
    write(&authority, name, &issued, place, out)
}

fn shifted(time: SystemTime, days: i32) -> SystemTime {
    let by = Duration::from_secs(86_400) * days.unsigned_abs();
    if days < 0 { time - by } else { time + by }
}

pub(super) fn read_authority(dir: &Path) -> Result<Authority, Failure> {
    let read = |name: &str| {
        let path = dir.join(name);
        fs::read_to_string(&path)
            .map_err(|error| Failure::Refused(format!("{}: {error}", path.display())))
    };
    Authority::from_pem(&read("ca.pem")?, &read("ca.key")?)
        .map_err(|error| Failure::Refused(format!("{}: {error}", dir.display())))
}

fn write(authority: &Authority, name: &str, issued: &Issued, place: Place, out: &mut Out) -> Done {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        return Err(Failure::Refused(format!(
            "{name:?} is no file name: give another one with --file-name"
        )));
    }
    let (cert, key) = (
        place.out.join(format!("{name}.pem")),
        place.out.join(format!("{name}.key")),
    );
    let mut files = NewFiles::new(place.force);
    files.add(cert.clone(), issued.cert.as_str(), Access::Open);
    files.add(key.clone(), issued.key.as_str(), Access::Secret);
    files.write()?;
    if out.is_json() {
        return out.json(
            &json!({ "cluster": authority.cluster().to_string(), "cert": cert, "key": key }),
        );
    }
    out.line(format_args!("cluster      {}", authority.cluster()))?;
    out.line(format_args!("certificate  {}", cert.display()))?;
    out.line(format_args!("private key  {}", key.display()))
}

fn refused(error: ProvisionError) -> Failure {
    Failure::Refused(error.to_string())
}
