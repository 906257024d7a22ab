import Audit
import Crypto
import JSON
import KeyRing

/// What libFuzzer calls with every input. Two readings of it:
/// 1. a value of an audit entry that is sealed for one person, as an export carries it: it opens under its own key and leaf alone;
/// 2. what the key ring sealed: which version of a key it needs.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzSealedValues(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes: [UInt8] = Array(UnsafeBufferPointer(start: data, count: count))
    let json: JSONValue? = try? JSONReader.parse(bytes)
    if let json: JSONValue { checkRead(json) }
    checkSealed(json ?? .string(String(decoding: bytes, as: UTF8.self)))
    checkHead(bytes)
    return 0
}

private let key: [UInt8] = Random.bytes(AESGCM.keyLength)

private func checkRead(_ json: JSONValue) {
    guard let value: SealedValue = SealedValue(json) else { return }
    precondition(json.object?.members.count == 2, "a sealed value has two members and no others")
    precondition(value.opened(with: key, leaf: "leaf") == nil, "a value that nobody sealed opens")
}

private func checkSealed(_ json: JSONValue) {
    guard let sealed: JSONObject = try? SealedValue.seal(json, key: "k", bytes: key, leaf: "leaf") else {
        preconditionFailure("whatever is read can be sealed")
    }
    guard let value: SealedValue = SealedValue(.object(sealed)) else { preconditionFailure("what is sealed is read") }
    precondition(value.key == "k", "the key is named")
    precondition(value.opened(with: key, leaf: "other") == nil, "a value that was moved opens")
    // As canonical text has it: numbers may look different there.
    precondition(value.opened(with: key, leaf: "leaf")?.canonical() == json.canonical(), "what was sealed opens")
}

private func checkHead(_ bytes: [UInt8]) {
    guard let version: Int64 = KeyRing.version(of: bytes) else { return }
    precondition((0...Int64(UInt32.max)).contains(version), "a version has four bytes")
    precondition(bytes.starts(with: KeyRing.head(version: version)), "what is read is what is written")
}
