#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::fs;

use quorate_protocol::ClusterId;
use quorate_protocol::names::{CLIENT_NAME, node_name};
use quorate_ring::NodeId;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, SanType, date_time_ymd};
use tempfile::TempDir;

use super::testing::{Authority, CLUSTER, Signed, files_in, node_params};
use super::{FileRole, Person, Tls, TlsError, TlsFiles, TlsProblem};

const NODE: NodeId = NodeId::new(0xa1);

fn load_in(directory: &TempDir, authority: &Authority, signed: &Signed) -> Result<Tls, TlsError> {
    Tls::load(authority.write(directory.path(), signed))
}

fn load(authority: &Authority, signed: &Signed) -> Result<Tls, TlsError> {
    load_in(&TempDir::new().unwrap(), authority, signed)
}

fn problem(outcome: Result<Tls, TlsError>) -> TlsProblem {
    outcome.unwrap_err().problem
}

fn altered(change: impl FnOnce(&mut CertificateParams)) -> (Authority, Signed) {
    let authority = Authority::new();
    let mut params = node_params(NODE, CLUSTER);
    change(&mut params);
    let signed = authority.sign(params);
    (authority, signed)
}

#[test]
fn a_node_s_files_are_taken_and_name_it() {
    let authority = Authority::new();
    let tls = load(&authority, &authority.node(NODE, CLUSTER)).unwrap();
    assert_eq!((tls.node(), tls.cluster()), (NODE, CLUSTER));
    assert_eq!(tls.current().identity().person, Person::Node(NODE));
    tls.must_name(NODE, CLUSTER).unwrap();
}

#[test]
fn each_missing_file_is_named() {
    let directory = TempDir::new().unwrap();
    let authority = Authority::new();
    let files = authority.write(directory.path(), &authority.node(NODE, CLUSTER));
    for (path, role) in [
        (&files.authority, FileRole::Authority),
        (&files.certificate, FileRole::Certificate),
        (&files.key, FileRole::Key),
    ] {
        let text = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        let error = Tls::load(files.clone()).unwrap_err();
        assert!(
            matches!(error.problem, TlsProblem::Unreadable(_)),
            "{error}"
        );
        assert_eq!((error.role, &error.path), (role, path));
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
        fs::write(path, text).unwrap();
    }
}

#[test]
fn what_is_not_pem_or_is_cut_off_is_refused() {
    let directory = TempDir::new().unwrap();
    let authority = Authority::new();
    let signed = authority.node(NODE, CLUSTER);
    let files = authority.write(directory.path(), &signed);
    for path in [&files.authority, &files.certificate, &files.key] {
        let text = fs::read(path).unwrap();
        for damaged in [&b""[..], b"hello", &text[..text.len() / 2], &[0xff; 64]] {
            fs::write(path, damaged).unwrap();
            assert!(
                matches!(problem(Tls::load(files.clone())), TlsProblem::NotPem(_)),
                "{damaged:?}"
            );
        }
        fs::write(path, text).unwrap();
    }
}

#[test]
fn files_that_were_mixed_up_say_what_they_hold() {
    let directory = TempDir::new().unwrap();
    let authority = Authority::new();
    let good = authority.write(directory.path(), &authority.node(NODE, CLUSTER));
    let swapped = TlsFiles {
        certificate: good.key.clone(),
        key: good.certificate.clone(),
        ..good.clone()
    };
    let error = Tls::load(swapped).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("holds no certificate (found: PrivateKey)"),
        "{error}"
    );
    let error = Tls::load(TlsFiles {
        key: good.certificate.clone(),
        ..good
    })
    .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("holds no private key (found: Certificate)"),
        "{error}"
    );
}

#[test]
fn an_oversized_file_is_not_read() {
    let directory = TempDir::new().unwrap();
    let authority = Authority::new();
    let files = authority.write(directory.path(), &authority.node(NODE, CLUSTER));
    fs::write(&files.authority, vec![b' '; 2 << 20]).unwrap();
    assert!(matches!(problem(Tls::load(files)), TlsProblem::TooLong(_)));
}

#[test]
fn an_expired_certificate_names_its_end() {
    let (authority, signed) = altered(|params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 2, 3);
    });
    let error = load(&authority, &signed).unwrap_err();
    assert!(matches!(error.problem, TlsProblem::Expired(_)), "{error}");
    assert!(error.to_string().contains("2002"), "{error}");
}

#[test]
fn a_certificate_of_the_future_names_its_start() {
    let (authority, signed) = altered(|params| {
        params.not_before = date_time_ymd(2101, 1, 1);
        params.not_after = date_time_ymd(2102, 1, 1);
    });
    let error = load(&authority, &signed).unwrap_err();
    assert!(
        matches!(error.problem, TlsProblem::NotYetValid(_)),
        "{error}"
    );
    assert!(error.to_string().contains("2101"), "{error}");
}

#[test]
fn an_expired_authority_is_refused_by_its_own_file() {
    let authority = Authority::with(|params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    let error = load(&authority, &authority.node(NODE, CLUSTER)).unwrap_err();
    assert_eq!(error.role, FileRole::Authority);
    assert!(matches!(error.problem, TlsProblem::Expired(_)), "{error}");
}

#[test]
fn a_certificate_that_may_not_sign_is_no_authority() {
    let authority = Authority::with(|params| params.is_ca = IsCa::NoCa);
    let error = load(&authority, &authority.node(NODE, CLUSTER)).unwrap_err();
    assert!(
        matches!(error.problem, TlsProblem::NotAnAuthority),
        "{error}"
    );
}

#[test]
fn another_authority_s_certificate_is_refused() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    assert!(matches!(
        problem(load(&ours, &theirs.node(NODE, CLUSTER))),
        TlsProblem::OtherAuthority(_)
    ));
}

#[test]
fn another_certificate_s_key_is_refused() {
    let authority = Authority::new();
    let mut signed = authority.node(NODE, CLUSTER);
    signed.key = authority.node(NODE, CLUSTER).key;
    let error = load(&authority, &signed).unwrap_err();
    assert_eq!(error.role, FileRole::Key);
    assert!(matches!(error.problem, TlsProblem::OtherKey(_)), "{error}");
}

#[test]
fn a_node_needs_both_usages() {
    for (usages, missing) in [
        (vec![ExtendedKeyUsagePurpose::ServerAuth], "client"),
        (vec![ExtendedKeyUsagePurpose::ClientAuth], "server"),
    ] {
        let (authority, signed) = altered(|params| params.extended_key_usages = usages);
        match problem(load(&authority, &signed)) {
            TlsProblem::Usage(usage) => assert_eq!(usage, missing),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_client_s_certificate_does_not_make_a_node() {
    let authority = Authority::new();
    match problem(load(&authority, &authority.client("alice", CLUSTER))) {
        TlsProblem::NotOfANode(principal) => assert_eq!(principal, "alice"),
        other => panic!("{other}"),
    }
}

#[test]
fn ambiguous_and_incomplete_names_are_refused() {
    let name = |name: String| SanType::DnsName(name.try_into().unwrap());
    let two_nodes = altered(|params| {
        params
            .subject_alt_names
            .push(name(node_name(NodeId::new(7))))
    });
    let both = altered(|params| params.subject_alt_names.push(name(CLIENT_NAME.into())));
    let no_cluster = altered(|params| params.subject_alt_names.truncate(1));
    let nobody = altered(|params| params.subject_alt_names = vec![name("example.org".into())]);
    for ((authority, signed), words) in [
        (two_nodes, "more than one"),
        (both, "more than one"),
        (no_cluster, "names no cluster"),
        (nobody, "neither a node nor a client"),
    ] {
        let error = load(&authority, &signed).unwrap_err();
        assert!(matches!(error.problem, TlsProblem::Identity(_)), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_principal_is_short_and_printable() {
    let authority = Authority::new();
    for principal in ["", "a\nb", &"x".repeat(65)] {
        let error = load(&authority, &authority.client(principal, CLUSTER)).unwrap_err();
        assert!(
            matches!(error.problem, TlsProblem::Identity(_)),
            "{principal:?}: {error}"
        );
    }
}

#[test]
fn another_node_s_or_cluster_s_certificate_is_refused_by_name() {
    let tls = Authority::new().tls(NODE);
    for (node, cluster) in [(NodeId::new(0xa2), CLUSTER), (NODE, ClusterId::new(9, 9))] {
        let error = tls.must_name(node, cluster).unwrap_err();
        assert!(
            matches!(error.problem, TlsProblem::AnotherNode { .. }),
            "{error}"
        );
        assert!(error.to_string().contains(&node.to_string()), "{error}");
    }
}

#[test]
fn a_reload_takes_new_files_and_keeps_the_old_when_they_are_wrong() {
    let directory = TempDir::new().unwrap();
    let authority = Authority::new();
    let tls = load_in(&directory, &authority, &authority.node(NODE, CLUSTER)).unwrap();
    let first = tls.current();

    fs::write(files_in(directory.path()).certificate, "gone").unwrap();
    tls.reload().unwrap_err();
    assert!(std::sync::Arc::ptr_eq(&first, &tls.current()));

    authority.write(
        directory.path(),
        &authority.node(NodeId::new(0xa2), CLUSTER),
    );
    assert!(matches!(
        tls.reload().unwrap_err().problem,
        TlsProblem::AnotherNode { .. }
    ));
    assert!(std::sync::Arc::ptr_eq(&first, &tls.current()));

    let other = Authority::new();
    other.write(directory.path(), &other.node(NODE, CLUSTER));
    tls.reload().unwrap();
    assert_ne!(first.endpoint_secret(), tls.current().endpoint_secret());
}

#[test]
fn no_log_shows_a_secret() {
    let tls = Authority::new().tls(NODE);
    let shown = format!("{:?}", tls.current());
    assert!(shown.contains("secret: Secret"), "{shown}");
}
