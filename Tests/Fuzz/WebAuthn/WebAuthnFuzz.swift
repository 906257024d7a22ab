import Bytes
import JSON
import WebAuthn

/// What libFuzzer calls with every input. Four readings of it: a value of CBOR, what an authenticator says, a key, and the answers of
/// a browser in JSON, which nobody has signed for us.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzWebAuthn(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes: [UInt8] = Array(UnsafeBufferPointer(start: data, count: count))
    if let value: CBORValue = try? CBORReader.parse(bytes) {
        precondition(write(value) == bytes, "there is one way to write a value")
    }
    if let read: AuthenticatorData = try? AuthenticatorData(parsing: bytes), let credential = read.credential {
        precondition((try? COSEKey(parsing: credential.key.encoded)) == credential.key, "a key that was read is kept")
    }
    if let key: COSEKey = try? COSEKey(parsing: bytes) {
        precondition(key.encoded == bytes, "a key is kept as it was written")
    }
    if let value: JSONValue = try? JSONReader.parse(bytes, limits: JSONLimits(depth: 8, bytes: 1 << 16)) {
        checkAnswers(value)
    }
    return 0
}

private func checkAnswers(_ value: JSONValue) {
    let expected: CeremonyExpectation = CeremonyExpectation(
        relyingParty: RelyingParty(id: "localhost", origin: "http://localhost"),
        challenge: [UInt8](repeating: 7, count: 32), needsVerification: false)
    _ = try? Registration(value).verify(expected)
    // The key of the seeds is nobody's: whatever is said, it has not signed it.
    if let key: COSEKey = try? COSEKey(parsing: seedKey), let assertion: Assertion = try? Assertion(value) {
        precondition((try? assertion.verify(expected, key: key)) == nil, "a signature that nobody made is accepted")
    }
}

/// The Ed25519 key of RFC 8032 section 7.1, test 1.
private let seedKey: [UInt8] =
    [0xA4, 0x01, 0x01, 0x03, 0x27, 0x20, 0x06, 0x21, 0x58, 0x20]
    + (Hex.decode("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a") ?? [])

private func write(_ value: CBORValue) -> [UInt8] {
    switch value {
    case .unsigned(let number): head(0, number)
    case .negative(let number): head(1, number)
    case .bytes(let bytes): head(2, UInt64(bytes.count)) + bytes
    case .text(let text): head(3, UInt64(text.utf8.count)) + Array(text.utf8)
    case .array(let elements): head(4, UInt64(elements.count)) + elements.flatMap { write($0) }
    case .map(let members): head(5, UInt64(members.count)) + members.flatMap { write($0.key) + write($0.value) }
    case .bool(let flag): [flag ? 0xF5 : 0xF4]
    case .null: [0xF6]
    }
}

private func head(_ type: UInt8, _ number: UInt64) -> [UInt8] {
    let (first, width): (UInt8, Int) =
        number < 24
        ? (UInt8(number), 0)
        : number < 1 << 8 ? (24, 1) : number < 1 << 16 ? (25, 2) : number < 1 << 32 ? (26, 4) : (27, 8)
    return [type << 5 | first] + (0..<width).map { UInt8(truncatingIfNeeded: number >> UInt64(8 * (width - 1 - $0))) }
}
