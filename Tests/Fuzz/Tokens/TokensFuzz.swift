import Bytes
import Crypto
import JSON
import Time
import Tokens

/// What libFuzzer calls with every input. Three readings of it:
/// 1. a token as it comes from a client: nothing that nobody signed is ever accepted;
/// 2. a header and a payload, parted by the first line feed, signed with the right key: what is accepted says what it must;
/// 3. a JSON Web Key Set.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzTokens(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes: [UInt8] = Array(UnsafeBufferPointer(start: data, count: count))
    checkForeign(bytes)
    checkSigned(bytes)
    checkKeySet(bytes)
    return 0
}

private struct StandingClock: WallClock {
    func now() -> Timestamp { Timestamp(seconds: 1_800_000_000) }
    func monotonic() -> UInt64 { 0 }
    func sleep(for duration: Duration) async throws {}
}

/// Made anew in each process: inputs can hold no signature of it.
private let key: PrivateKey? = try? PrivateKey.generate(.ed25519)

private let verifier: TokenVerifier? = {
    guard let key: PrivateKey, let publicKey = try? key.publicKey() else { return nil }
    return TokenVerifier(
        keys: JWKSet(keys: [JWK(keyID: "k", algorithm: nil, key: publicKey)]), issuer: "i", audience: "a",
        algorithms: JWTAlgorithm.allCases, clock: StandingClock())
}()

private func checkForeign(_ bytes: [UInt8]) {
    guard let verifier: TokenVerifier else { preconditionFailure("the fuzzer has a key") }
    let verified: VerifiedToken? = try? verifier.verify(bytes)
    precondition(verified == nil, "a token nobody signed is accepted")
}

private func checkSigned(_ bytes: [UInt8]) {
    guard let verifier: TokenVerifier, let key: PrivateKey, let end: Int = bytes.firstIndex(of: UInt8(ascii: "\n"))
    else { return }
    let (header, payload): ([UInt8], [UInt8]) = (Array(bytes[..<end]), Array(bytes[(end + 1)...]))
    guard let token = try? JWT.sign(header: header, payload: payload, key: key, algorithm: .edDSA),
        let verified: VerifiedToken = try? verifier.verify(token)
    else { return }
    let headerValue: JSONValue? = try? JSONReader.parse(header)
    precondition(
        headerValue?["alg"]?.text == "EdDSA" && headerValue?["crit"] == nil, "the header says how it is signed")
    precondition(verified.claims["iss"]?.text == "i", "the issuer is the one expected")
    precondition(verified.expiresAt > Timestamp(seconds: 1_800_000_000 - 30), "the token has not expired")
    precondition((try? JSONReader.parse(payload)) == .object(verified.claims), "the claims are the payload")
}

private func checkKeySet(_ bytes: [UInt8]) {
    guard let set = try? JWKSet(parsing: bytes) else { return }
    precondition(set.keys.count <= JWKSet.keysMax, "the number of keys is bounded")
    guard let text: [UInt8] = try? set.json().serialized() else {
        preconditionFailure("keys that were read can be written")
    }
    precondition((try? JWKSet(parsing: text))?.keys.count == set.keys.count, "keys that were written can be read")
}
