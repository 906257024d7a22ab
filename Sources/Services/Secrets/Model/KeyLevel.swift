/// A level of the key ring that rotates by itself.
enum KeyLevel: String, Sendable, CaseIterable {
    case master
    case keyEncrypting = "key-encrypting"
    case data
}
