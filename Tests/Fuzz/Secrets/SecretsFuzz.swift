import Bytes
import Crypto
import GatewayConfiguration
import JSON

/// What libFuzzer calls with every input. Three readings of it:
/// 1. a box sealed to a gateway's key, and what is sealed at rest: nothing that nobody sealed ever opens;
/// 2. a key in PEM, as it stands in such a box;
/// 3. a configuration with references to secrets: what is put in their place is all that changes.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzSecrets(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes: [UInt8] = Array(UnsafeBufferPointer(start: data, count: count))
    checkBox(bytes)
    checkKey(bytes)
    checkReferences(bytes)
    return 0
}

/// Made anew in each process: inputs can hold nothing that is sealed to it.
private let receiver: PrivateKey? = try? PrivateKey.generate(.p256)
private let key: [UInt8] = Random.bytes(32)

/// A box to somebody else, whose head inputs may begin with.
private let box: [UInt8] = {
    guard let other = try? PrivateKey.generate(.p256).publicKey(),
        let made: [UInt8] = try? SealedBox.seal([1, 2, 3], to: other, associatedData: [])
    else { preconditionFailure("the fuzzer has keys") }
    return made
}()

private func checkBox(_ bytes: [UInt8]) {
    guard let receiver: PrivateKey else { preconditionFailure("the fuzzer has keys") }
    for sealed in [bytes, Array(box.prefix(box.count - 31)) + bytes, box + bytes] {
        precondition(
            (try? SealedBox.open(sealed, with: receiver, associatedData: [])) == nil, "a box that nobody sealed opens")
    }
    precondition((try? AESGCM.open(bytes, key: key, associatedData: [])) == nil, "a value that nobody sealed opens")
    guard let sealed: [UInt8] = try? AESGCM.seal(bytes, key: key, associatedData: bytes) else {
        preconditionFailure("whatever is sealed can be")
    }
    precondition((try? AESGCM.open(sealed, key: key, associatedData: bytes)) == bytes, "what is sealed opens")
    precondition((try? AESGCM.open(sealed, key: key, associatedData: bytes + [0])) == nil, "elsewhere it does not")
}

private func checkKey(_ bytes: [UInt8]) {
    let text: String = String(decoding: bytes, as: UTF8.self)
    for pem in [text, "-----BEGIN PUBLIC KEY-----\n\(text)\n-----END PUBLIC KEY-----\n"] {
        guard let key: PublicKey = try? PublicKey(pem: pem), let written: String = try? key.pem() else { continue }
        precondition((try? PublicKey(pem: written))?.kind == key.kind, "what is written reads back")
    }
}

private func checkReferences(_ bytes: [UInt8]) {
    let json: JSONValue = (try? JSONReader.parse(bytes)) ?? .string(String(decoding: bytes, as: UTF8.self))
    let names: Set<String> = SecretReference.names(in: json)
    for name in names {
        precondition((1...63).contains(name.utf8.count), "a name is as long as a slug")
        precondition(name.utf8.allSatisfy { $0 == 0x2d || (0x30...0x39).contains($0) || (0x61...0x7a).contains($0) })
    }
    precondition(SecretReference.replacing(in: json) { _, _ in nil } == json, "what is left stays as it was")
    var asked: Set<String> = []
    let replaced: JSONValue = SecretReference.replacing(in: json) { name, _ in
        asked.insert(name)
        return "*"
    }
    precondition(asked == names, "each reference is asked for")
    // What comes of it has as many values as before: a secret's value is never read as more than a text.
    precondition(count(replaced) == count(json), "a value stays one")
}

private func count(_ json: JSONValue) -> Int {
    switch json {
    case .array(let elements): elements.reduce(1) { $0 + count($1) }
    case .object(let object): object.members.reduce(1) { $0 + count($1.value) }
    default: 1
    }
}
