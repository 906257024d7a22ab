/// Keeps secrets unreadable at rest. Offered by the key ring, handed over by the composition root.
package protocol SecretSealer: Sendable {
    /// Encrypts so that only the same key ring opens it, and only under the same name.
    func seal(_ secret: [UInt8], name: String) throws -> [UInt8]
    /// - Throws: when a bit of it, the name or the master key differs.
    func open(_ sealed: [UInt8], name: String) throws -> [UInt8]
}
