import Bytes
import Crypto
import TLS

/// What libFuzzer calls with every input. Five readings of it, as PEM and as what PEM wraps:
/// 1. a request for a certificate;
/// 2. certificates, as authorities, callers and gateways show them;
/// 3. a certificate with its key in one text, as a gateway keeps them for its link;
/// 4. lists of revoked certificates, as files name them;
/// 5. names that a certificate is wanted for: what is issued has these, and no others.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzPKI(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes: [UInt8] = Array(UnsafeBufferPointer(start: data, count: count))
    let text: String = String(decoding: bytes, as: UTF8.self)
    for pem in [text, wrapped(bytes, "CERTIFICATE REQUEST")] { checkRequest(pem) }
    for pem in [text, wrapped(bytes, "CERTIFICATE")] { checkCertificates(pem) }
    for pem in [text, wrapped(bytes, "PRIVATE KEY"), linkKey + wrapped(bytes, "CERTIFICATE")] { checkLink(pem) }
    for pem in [text, wrapped(bytes, "X509 CRL")] {
        if let lists: RevocationLists = try? RevocationLists(pem: pem) {
            precondition(!lists.pointers.isEmpty)
            _ = lists.name(authority.identity.certificate)
        }
    }
    checkNames(text)
    return 0
}

/// Made anew in each process.
private let authority: IssuingAuthority = {
    let now: Int64 = 1_800_000_000
    guard let made: IssuingAuthority = try? .root(name: "root", organization: nil, validity: (now, now + 86_400)) else {
        preconditionFailure("the fuzzer has an authority")
    }
    return made
}()

private let linkKey: String = (try? authority.identity.key.pem()) ?? ""

private func wrapped(_ bytes: [UInt8], _ label: String) -> String {
    var lines: [String] = ["-----BEGIN \(label)-----"]
    var rest: Substring = Base64.encode(bytes)[...]
    while !rest.isEmpty {
        lines.append(String(rest.prefix(64)))
        rest = rest.dropFirst(64)
    }
    return lines.joined(separator: "\n") + "\n-----END \(label)-----\n"
}

private func checkRequest(_ pem: String) {
    guard let request: SigningRequest = try? SigningRequest(pem: pem) else { return }
    precondition(request.names.count <= pem.utf8.count, "names stand in the request")
    precondition((try? request.publicKey.pem()) != nil, "a key that was read can be written")
    let wish: IssuingAuthority.Wish = IssuingAuthority.Wish(
        commonName: request.commonName ?? "none", organization: nil, names: request.names, usage: .client,
        validity: authority.identity.certificate.validity)
    if let made: Certificate = try? authority.issue(wish, for: request.publicKey, places: nil) {
        checkIssued(made, names: request.names)
    }
}

private func checkCertificates(_ pem: String) {
    guard let chain: [Certificate] = try? Certificate.chain(pem: pem) else { return }
    precondition(!chain.isEmpty, "a chain has one at least")
    for certificate in chain {
        precondition(certificate.fingerprint.count == SHA256.length, "a fingerprint is a hash")
        for address in certificate.addresses where !address.isEmpty {
            precondition(AddressBlock.bytes(address) != nil, "an address reads back")
        }
        let seen: Int =
            certificate.dnsNames.count + certificate.uris.count + certificate.serial.count
            + certificate.subject.utf8.count
            + (certificate.commonName?.utf8.count ?? 0)
        precondition(seen >= 0 && certificate.validity.notAfter != .max, "what it says can be read")
        precondition(!certificate.belongs(to: authority.identity.key), "nobody has the fuzzer's key")
        guard let written: String = try? certificate.pem() else { continue }
        precondition(
            (try? Certificate.chain(pem: written))?.first?.fingerprint == certificate.fingerprint,
            "what is written reads back")
    }
    // Whoever names them as authorities gets a context, or is told why not.
    if isChosen(chain[0]) { _ = try? TLSContext.client(TLSClientConfiguration(trust: .authorities(chain))) }
}

/// One in sixteen: making a context takes longer than all the rest.
private func isChosen(_ certificate: Certificate) -> Bool { certificate.fingerprint[0] < 16 }

private func checkLink(_ pem: String) {
    if let key: PrivateKey = try? PrivateKey(pem: pem), let written: String = try? key.pem() {
        precondition((try? PrivateKey(pem: written))?.kind == key.kind, "a key that is written reads back")
    }
    guard let shown: TLSCertificate = try? TLSCertificate(chainPEM: pem, keyPEM: pem) else { return }
    precondition(shown.chain[0].belongs(to: shown.key), "a key belongs to its certificate")
    if isChosen(shown.chain[0]) { _ = try? TLSContext.server(TLSServerConfiguration(certificates: [shown])) }
}

private func checkNames(_ text: String) {
    let names: [String] = text.split(separator: "\n", maxSplits: 8, omittingEmptySubsequences: false).map(String.init)
    for name in names {
        guard let block: AddressBlock = AddressBlock(name) else { continue }
        precondition(AddressBlock(block.text) == block, "a range reads back")
    }
    guard names.allSatisfy({ $0.utf8.count <= 255 }), let key: PublicKey = try? authority.identity.key.publicKey()
    else {
        return
    }
    let wish: IssuingAuthority.Wish = IssuingAuthority.Wish(
        commonName: names[0], organization: nil, names: names, usage: .server,
        validity: authority.identity.certificate.validity)
    if let made: Certificate = try? authority.issue(wish, for: key, places: nil) { checkIssued(made, names: names) }
}

/// No name smuggles in another one.
private func checkIssued(_ made: Certificate, names: [String]) {
    var domains: [String] = []
    var addresses: [[UInt8]] = []
    for name in names {
        if let address: [UInt8] = AddressBlock.bytes(name) { addresses.append(address) } else { domains.append(name) }
    }
    precondition(made.dnsNames == domains.map { $0.lowercased() }, "the names are those that were asked for")
    precondition(made.addresses.map { AddressBlock.bytes($0) } == addresses, "so are the addresses")
    precondition(made.uris.isEmpty, "nothing else comes in")
}
