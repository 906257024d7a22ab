import Bytes
import Contracts
import EventLog
import Identifiers
import JSON
import REST
import Store
import Telemetry
import Time
import WebAuthn

/// How a passkey came to be shown.
enum PasskeyUse: Sendable {
    /// Taken.
    case shown(Passkey, Assertion.Use)
    /// Not taken. Why is for the log.
    case refused(String)
}

extension IdentityService {
    /// Whose passkeys there are here. - Throws: a problem where there are none.
    func requirePasskeys() throws -> RelyingParty {
        guard let party: RelyingParty = self.relyingParty else {
            throw APIProblem.conflict(
                "Passkeys need an issuer with a host name; this one is \(self.keys.issuer). Set issuer in the settings."
            )
        }
        return party
    }

    // MARK: Made

    /// What a browser makes a passkey from (WebAuthn section 5.4).
    func registrationOptions(
        _ user: User, _ challenge: PasskeyChallenge, party: RelyingParty
    ) async throws -> JSONValue {
        let (handle, passkeys): ([UInt8], [Passkey]) = try await self.services.store.write { transaction in
            (
                try PasskeyTable.makeHandle(of: user.id, in: transaction),
                try PasskeyTable.of(user: user.id, in: transaction)
            )
        }
        guard passkeys.count < Passkey.countMax else {
            throw APIProblem.conflict("You have \(Passkey.countMax) passkeys, the most there may be. Remove one first.")
        }
        let algorithms: [JSONValue] = COSEKey.Algorithm.allCases.map {
            .object(["type": "public-key", "alg": .int($0.rawValue)])
        }
        return .object([
            "challenge": .string(Base64.encodeURL(challenge.challenge)),
            "rp": .object(["id": .string(party.id), "name": "Passerelle"]),
            "user": .object([
                "id": .string(Base64.encodeURL(handle)), "name": .string(user.name), "displayName": .string(user.name),
            ]), "pubKeyCredParams": .array(algorithms),
            "timeout": .int(PasskeyChallenge.lifetime.components.seconds * 1_000),
            "excludeCredentials": .array(passkeys.map(\.descriptor)),
            "authenticatorSelection": .object(["residentKey": "preferred", "userVerification": "preferred"]),
            "attestation": "none",
        ])
    }

    /// Keeps a passkey that a browser has made.
    ///
    /// - Returns: it, and recovery codes when it is the user's first factor.
    func register(
        _ answer: JSONValue, name: String, _ challenge: PasskeyChallenge, party: RelyingParty, session: String,
        _ author: Author
    ) async throws -> (passkey: Passkey, codes: [String]) {
        let (made, transports): (Registration.Credential, [String])
        do throws(WebAuthnError) {
            let registration: Registration = try Registration(answer)
            made = try registration.verify(
                CeremonyExpectation(relyingParty: party, challenge: challenge.challenge, needsVerification: false))
            transports = registration.transports
        } catch {
            throw APIProblem.invalid("/credential", "expected the answer to these options: \(error)")
        }
        let user: String = author.caller.id
        return try await self.services.store.write { transaction in
            guard try PasskeyTable.answered(challenge, in: transaction) else {
                throw APIProblem.invalid("/credential", "expected an answer that was not given before")
            }
            guard try PasskeyTable.of(user: user, in: transaction).count < Passkey.countMax else {
                throw APIProblem.conflict("You have \(Passkey.countMax) passkeys, the most there may be.")
            }
            guard try PasskeyTable.find(credential: made.id, in: transaction) == nil else {
                throw APIProblem.conflict("This passkey is known already.")
            }
            let passkey: Passkey = Passkey(
                id: Identifier.make(Passkey.idPrefix, now: transaction.now), credential: made.id, userID: user,
                name: name, key: made.key.encoded, counter: made.counter, transports: transports,
                isBackedUp: made.isBackedUp, createdAt: transaction.now, usedAt: nil, suspendedAt: nil)
            try PasskeyTable.insert(passkey, in: transaction)
            let codes: [String] = try SecondFactorRules.firstRecoveryCodes(of: user, in: transaction)
            try SessionTable.stepUp(session, by: [passkey.method, "user"], in: transaction)
            try Self.record("passkey.created", passkey, author, in: transaction)
            return (passkey, codes)
        }
    }

    // MARK: Shown

    /// What a browser shows a passkey for (WebAuthn section 5.5).
    ///
    /// - Parameter passkeys: those of whom we know; empty when the passkey says who it is.
    func assertionOptions(
        _ passkeys: [Passkey], _ challenge: PasskeyChallenge, party: RelyingParty, needsVerification: Bool
    ) -> JSONValue {
        .object([
            "challenge": .string(Base64.encodeURL(challenge.challenge)), "rpId": .string(party.id),
            "timeout": .int(PasskeyChallenge.lifetime.components.seconds * 1_000),
            "allowCredentials": .array(passkeys.map(\.descriptor)),
            "userVerification": needsVerification ? "required" : "preferred",
        ])
    }

    /// Looks at a passkey that a browser has shown; the signature before anything is written.
    ///
    /// - Parameters:
    ///   - user: whose passkey it must be; nil when the passkey says who somebody is.
    ///   - body: what it opens, in the same transaction. What it throws leaves the passkey unused.
    func show<Value: Sendable>(
        _ answer: JSONValue, of user: String?, _ challenge: PasskeyChallenge, needsVerification: Bool,
        _ context: RequestContext, _ body: @escaping @Sendable (Passkey, Assertion.Use, Transaction) throws -> Value?
    ) async throws -> Value? {
        let party: RelyingParty = try self.requirePasskeys()
        let use: PasskeyUse = try await self.check(
            answer, of: user, challenge, party: party, needsVerification: needsVerification, context)
        guard case .shown(let passkey, let shown) = use else {
            if case .refused(let reason) = use {
                self.services.logger.log(
                    .info, "a passkey was not taken",
                    ["reason": .string(reason), "trace_id": .string(context.trace.traceID)])
            }
            return nil
        }
        let (ip, trace): (String, TraceContext) = (context.ip, context.trace)
        return try await self.services.store.write { transaction in
            guard let present: Passkey = try PasskeyTable.find(credential: passkey.credential, in: transaction),
                present.suspendedAt == nil, present.userID == passkey.userID
            else { return nil }
            guard Assertion.isCounterFine(shown.counter, after: present.counter) else {
                // A replay has nothing new to say about who holds the key.
                guard try PasskeyTable.answered(challenge, in: transaction) else { return nil }
                let author: Author = Author(
                    caller: Caller(kind: .user, id: present.userID, grants: [], ip: ip), trace: trace)
                try PasskeyTable.suspend(present.id, in: transaction)
                try Self.record("passkey.suspended", present, author, in: transaction)
                return nil
            }
            guard try PasskeyTable.answered(challenge, in: transaction),
                let value: Value = try body(present, shown, transaction)
            else { return nil }
            try PasskeyTable.used(present.id, shown, in: transaction)
            return value
        }
    }

    private func check(
        _ answer: JSONValue, of user: String?, _ challenge: PasskeyChallenge, party: RelyingParty,
        needsVerification: Bool, _ context: RequestContext
    ) async throws -> PasskeyUse {
        do {
            let assertion: Assertion = try Assertion(answer)
            let found: (passkey: Passkey, handle: [UInt8]?)? = try await context.read { reader in
                guard let passkey: Passkey = try PasskeyTable.find(credential: assertion.id, in: reader) else {
                    return nil
                }
                return (passkey, try PasskeyTable.handle(of: passkey.userID, in: reader))
            }
            guard let found, found.passkey.suspendedAt == nil, user == nil || found.passkey.userID == user else {
                throw WebAuthnError.credential
            }
            // Whoever signs in by a passkey alone is who the authenticator says: it must say so (section 7.2 step 6).
            if user == nil || assertion.userHandle != nil {
                guard let handle: [UInt8] = assertion.userHandle, handle == found.handle else {
                    throw WebAuthnError.credential
                }
            }
            let use: Assertion.Use = try assertion.verify(
                CeremonyExpectation(
                    relyingParty: party, challenge: challenge.challenge, needsVerification: needsVerification),
                key: try COSEKey(parsing: found.passkey.key))
            return .shown(found.passkey, use)
        } catch let error as WebAuthnError {
            return .refused("\(error)")
        }
    }

    // MARK: Changed

    func renamePasskey(_ id: String, to name: String, _ author: Author) async throws -> Passkey {
        try await self.services.store.write { transaction in
            guard try PasskeyTable.find(id, of: author.caller.id, in: transaction) != nil else {
                throw APIProblem.notFound("passkey", id)
            }
            try PasskeyTable.rename(id, to: name, in: transaction)
            guard let passkey: Passkey = try PasskeyTable.find(id, of: author.caller.id, in: transaction) else {
                throw APIProblem.notFound("passkey", id)
            }
            try Self.record("passkey.renamed", passkey, author, in: transaction)
            return passkey
        }
    }

    func removePasskey(_ id: String, _ author: Author) async throws {
        try await self.services.store.write { transaction in
            guard let passkey: Passkey = try PasskeyTable.find(id, of: author.caller.id, in: transaction) else {
                throw APIProblem.notFound("passkey", id)
            }
            try PasskeyTable.delete(id, in: transaction)
            try SecondFactorRules.forgetCodesOfNothing(author.caller.id, in: transaction)
            try Self.record("passkey.removed", passkey, author, in: transaction)
        }
    }

    /// Without its name: what is in the log stays, and names are what people write.
    private static func record(
        _ event: String, _ passkey: Passkey, _ author: Author, in transaction: Transaction
    ) throws {
        try SecondFactorRules.record(
            event, passkey.userID, resource: AuditEntry.Resource(type: "passkey", id: passkey.id), author,
            changes: ["backed_up": .bool(passkey.isBackedUp)], in: transaction)
    }
}

extension Passkey {
    /// What kind of proof it is (RFC 8176): of a key in hardware, or of one that is kept elsewhere, too.
    var method: String { self.isBackedUp ? "swk" : "hwk" }
}
