//! TLS by rustls, as `sslmode` asks for it.
use super::{ConnInfo, ReplicationError, connection::Transport, conninfo::TlsMode};
use postgres_protocol::message::frontend;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Asks for TLS; the transport, the hash for SCRAM's channel binding, and whether it is encrypted.
pub(super) async fn negotiate(
    mut stream: TcpStream,
    info: &ConnInfo,
    mode: TlsMode,
) -> Result<(Box<dyn Transport>, Option<Vec<u8>>, bool), ReplicationError> {
    let target = format!("{}:{}", info.host, info.port);
    let lost = |source| ReplicationError::Lost { operation: "asking for TLS", source };
    let failed = |reason: String| ReplicationError::Tls { target: target.clone(), reason };
    let mut request = bytes::BytesMut::new();
    frontend::ssl_request(&mut request);
    stream.write_all(&request).await.map_err(lost)?;
    let answer = stream.read_u8().await.map_err(lost)?;
    match (answer, mode) {
        (b'S', _) => {}
        (b'N', TlsMode::Prefer) => return Ok((Box::new(stream), None, false)),
        (b'N' | b'E', _) => {
            return Err(failed("the server has no TLS; set ssl = on there, or use sslmode=prefer".to_owned()));
        }
        _ => return Err(failed("what answers there is no PostgreSQL; correct host and port".to_owned())),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match mode {
        TlsMode::VerifyCa | TlsMode::VerifyFull => {
            let path = info.root_certificate.as_ref().ok_or_else(|| {
                failed("sslmode=verify-ca and verify-full need the authority's certificate: add sslrootcert=/path/root.crt".to_owned())
            })?;
            let mut roots = RootCertStore::empty();
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| failed(format!("{} cannot be read: {error}", path.display())))?;
            for certificate in certificates {
                roots.add(certificate).map_err(|error| failed(format!("{}: {error}", path.display())))?;
            }
            let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .map_err(|error| failed(error.to_string()))?;
            Arc::new(Verifier { inner: Some(inner), any_name: mode == TlsMode::VerifyCa, provider: provider.clone() })
        }
        _ => Arc::new(Verifier { inner: None, any_name: true, provider: provider.clone() }),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let name = ServerName::try_from(info.host.clone()).map_err(|error| failed(error.to_string()))?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|error| failed(explain(&error, info)))?;
    // RFC 5929, for certificates signed with SHA-256; others do without channel binding.
    let binding = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).filter(|it| signed_with_sha256(it));
    let binding = binding.map(|certificate| Sha256::digest(certificate.as_ref()).to_vec());
    Ok((Box::new(stream), binding, true))
}

/// What a refused certificate means to the one who set the connection up.
fn explain(error: &std::io::Error, info: &ConnInfo) -> String {
    use rustls::CertificateError as Refused;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let Some(Error::InvalidCertificate(refused)) = inner else { return error.to_string() };
    let roots = info.root_certificate.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    match refused {
        Refused::UnknownIssuer | Refused::BadSignature => {
            format!(
                "the server's certificate is not of an authority in {roots}; correct sslrootcert, or it is not the server"
            )
        }
        Refused::NotValidForName | Refused::NotValidForNameContext { .. } => format!(
            "the server's certificate is for another host than {}; connect by a name that it has, or use sslmode=verify-ca",
            info.host
        ),
        Refused::Expired | Refused::ExpiredContext { .. } => {
            "the server's certificate has expired; renew it".to_owned()
        }
        Refused::NotValidYet | Refused::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; check the clocks".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Looks for the object identifiers of the signature algorithms with SHA-256 (RSA and ECDSA).
fn signed_with_sha256(certificate: &CertificateDer<'_>) -> bool {
    const RSA: [u8; 9] = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0B];
    const ECDSA: [u8; 8] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02];
    let bytes = certificate.as_ref();
    bytes.windows(RSA.len()).any(|it| it == RSA) || bytes.windows(ECDSA.len()).any(|it| it == ECDSA)
}

/// Takes any certificate, any of a known authority, or only this host's.
#[derive(Debug)]
struct Verifier {
    inner: Option<Arc<WebPkiServerVerifier>>,
    any_name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        match inner.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                rustls::CertificateError::NotValidForName | rustls::CertificateError::NotValidForNameContext { .. },
            )) if self.any_name => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
