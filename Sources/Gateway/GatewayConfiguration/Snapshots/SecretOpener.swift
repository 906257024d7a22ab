/// Opens the secrets of a snapshot, which are sealed to the gateway's own key.
package protocol SecretOpener: Sendable {
    /// What was sealed for a reference such as `acme/crm-token@7`; nil when it does not open here.
    func open(_ sealed: [UInt8], reference: String) -> String?
}

/// The values that an entry's references stand for, by `name@version`.
package typealias EntrySecrets = [String: String]
