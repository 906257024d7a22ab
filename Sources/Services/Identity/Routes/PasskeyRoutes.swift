import Contracts
import HTTP
import JSON
import REST
import Store
import WebAuthn

/// What the bodies hold.
private enum PasskeySchema {
    static let credential: JSONValue = .object(["type": "object"])
    static let challenge: JSONValue = Schema.text(min: 1, max: PasskeyChallenge.sealedBytesMax)
    static let name: JSONValue = Schema.text(min: 1, max: Passkey.nameLengthMax)

    static let answer: Route.Body = .json(
        Schema.object(["challenge": challenge, "credential": credential], required: ["challenge", "credential"]),
        bytesMax: Registration.responseBytesMax)
    static let made: Route.Body = .json(
        Schema.object(
            ["name": name, "challenge": challenge, "credential": credential],
            required: ["name", "challenge", "credential"]), bytesMax: Registration.responseBytesMax)
    static let named: Route.Body = .json(Schema.object(["name": name], required: ["name"]))
}

/// Passkeys over REST, for pages of others that run at the issuer's origin: options here, `navigator.credentials` there, the answer here.
extension IdentityService {
    var passkeyRoutes: [Route] {
        [
            Route(
                "GET", "/v1/me/passkeys", operationID: "listPasskeys", tag: IdentityService.name,
                summary: "The caller's passkeys", access: .authenticated, answers: [Answer(200, "Passkeys by id")]
            ) { context in
                let user: String = context.caller.id
                let found: [Passkey] = try await context.read { try PasskeyTable.of(user: user, in: $0) }
                return .json(.object(["items": .array(found.map(\.json)), "next": .null]))
            },
            Route(
                "POST", "/v1/me/passkeys/options", operationID: "beginPasskey", tag: IdentityService.name,
                summary: "What a browser makes a passkey from (navigator.credentials.create)", access: .authenticated,
                isCritical: true, isEnrolment: true, answers: [Answer(200, "Options, and their sealed challenge")]
            ) { [self] in try await self.beginPasskey($0) },
            Route(
                "POST", "/v1/me/passkeys", operationID: "createPasskey", tag: IdentityService.name,
                summary: "Keeps the passkey that a browser has made; with the first factor come recovery codes",
                access: .authenticated, isCritical: true, isEnrolment: true,
                body: PasskeySchema.made,
                answers: [Answer(201, "The passkey")]
            ) { [self] in try await self.createPasskey($0) },
            Route(
                "PATCH", "/v1/me/passkeys/{passkey}", operationID: "renamePasskey", tag: IdentityService.name,
                summary: "Gives one of the caller's passkeys another name", access: .authenticated,
                body: PasskeySchema.named, answers: [Answer(200, "The passkey")]
            ) { [self] context in
                let passkey: Passkey = try await self.renamePasskey(
                    context.parameter("passkey"), to: try Self.passkeyName(context), context.author)
                return .json(passkey.json)
            },
            Route(
                "DELETE", "/v1/me/passkeys/{passkey}", operationID: "deletePasskey", tag: IdentityService.name,
                summary: "Removes one of the caller's passkeys", access: .authenticated, isCritical: true,
                isEnrolment: true, answers: [Answer(204, "Removed")]
            ) { [self] context in
                try await self.removePasskey(context.parameter("passkey"), context.author)
                return .noContent
            },
            Route(
                "POST", "/v1/me/second-factor/options", operationID: "beginStepUp", tag: IdentityService.name,
                summary: "What a browser shows a passkey for (navigator.credentials.get)", access: .authenticated,
                answers: [Answer(200, "Options, and their sealed challenge")]
            ) { [self] in try await self.beginStepUp($0) },
            Route(
                "POST", "/v1/me/second-factor/passkey", operationID: "stepUpByPasskey", tag: IdentityService.name,
                summary: "Shows a passkey, for critical operations in the next ten minutes", access: .authenticated,
                body: PasskeySchema.answer, answers: [Answer(204, "Shown")]
            ) { [self] in try await self.stepUpByPasskey($0) },
        ]
    }

    private static func passkeyName(_ context: RequestContext) throws -> String {
        let name: String = context.body["name"]?.text ?? ""
        if let problem: String = Passkey.problem(name: name) { throw APIProblem.invalid("/name", problem) }
        return name
    }

    private static func session(of context: RequestContext) throws -> String {
        guard context.caller.kind == .user, let session: String = context.caller.sessionID else {
            throw Self.needsSession
        }
        return session
    }

    private func options(_ options: JSONValue, _ challenge: PasskeyChallenge) throws -> HTTPResponse {
        Self.uncached(.object(["challenge": .string(try challenge.sealed(self.sealer)), "public_key": options]))
    }

    /// The challenge that comes back in the body.
    private func challenge(
        _ purpose: PasskeyChallenge.Purpose, _ session: String, _ context: RequestContext
    ) throws -> PasskeyChallenge {
        guard
            let challenge: PasskeyChallenge = PasskeyChallenge.open(
                context.body["challenge"]?.text ?? "", purpose, binding: session, now: context.now, self.sealer)
        else {
            throw APIProblem.invalid(
                "/challenge", "expected the challenge of options that this session asked for lately")
        }
        return challenge
    }

    private func beginPasskey(_ context: RequestContext) async throws -> HTTPResponse {
        let (session, party): (String, RelyingParty) = (try Self.session(of: context), try self.requirePasskeys())
        let id: String = context.caller.id
        let user: User? = try await context.read { try UserTable.find(id, in: $0) }
        guard let user: User else { throw APIProblem.notFound("user", id) }
        let challenge: PasskeyChallenge = .begin(.register, binding: session, now: context.now)
        return try self.options(try await self.registrationOptions(user, challenge, party: party), challenge)
    }

    private func createPasskey(_ context: RequestContext) async throws -> HTTPResponse {
        let (session, party): (String, RelyingParty) = (try Self.session(of: context), try self.requirePasskeys())
        let challenge: PasskeyChallenge = try self.challenge(.register, session, context)
        let (passkey, codes): (Passkey, [String]) = try await self.register(
            context.body["credential"] ?? .null, name: try Self.passkeyName(context), challenge, party: party,
            session: session, context.author)
        var answer: JSONObject = passkey.json.object ?? [:]
        if !codes.isEmpty { answer["recovery_codes"] = .array(codes.map { JSONValue.string($0) }) }
        var response: HTTPResponse = .created(.object(answer), location: "/v1/me/passkeys/\(passkey.id)")
        response.fields.append("Cache-Control", "no-store")
        return response
    }

    private func beginStepUp(_ context: RequestContext) async throws -> HTTPResponse {
        let (id, user): (String, String) = (try Self.session(of: context), context.caller.id)
        let party: RelyingParty = try self.requirePasskeys()
        let (factors, session): (SecondFactors, Session?) = try await context.read { reader in
            (try SecondFactors.of(user, in: reader), try SessionTable.find(id, in: reader))
        }
        guard let session: Session, !factors.usablePasskeys.isEmpty else {
            throw APIProblem.conflict("You have no passkey. POST /v1/me/passkeys/options begins.")
        }
        let challenge: PasskeyChallenge = .begin(.verify, binding: id, now: context.now)
        return try self.options(
            self.assertionOptions(
                factors.usablePasskeys, challenge, party: party, needsVerification: session.needsVerification),
            challenge)
    }

    private func stepUpByPasskey(_ context: RequestContext) async throws -> HTTPResponse {
        let (id, user): (String, String) = (try Self.session(of: context), context.caller.id)
        let challenge: PasskeyChallenge = try self.challenge(.verify, id, context)
        let session: Session? = try await context.read { try SessionTable.find(id, in: $0) }
        let isShown: Bool? = try await self.show(
            context.body["credential"] ?? .null, of: user, challenge,
            needsVerification: session?.needsVerification ?? true, context
        ) { passkey, _, transaction in
            try SessionTable.stepUp(id, by: [passkey.method, "user"], in: transaction)
            return true
        }
        guard isShown == true else {
            throw APIProblem.invalid("/credential", "expected the answer of one of your passkeys to these options")
        }
        return .noContent
    }
}

extension Session {
    /// Whether a passkey that is shown within it must verify its user: where nothing but passkeys was ever shown.
    var needsVerification: Bool { self.provider == nil && !self.methods.contains("pwd") }
}
