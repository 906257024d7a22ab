/// The kinds of refusal the REST interface gives (RFC 9457 `type`), each with its status and its title in English and French.
///
/// The `type` member is `urn:passerelle:problem:<rawValue>`; docs/reference/problems.md lists cause and remedy of each.
package enum ProblemType: String, Sendable, CaseIterable {
    case invalidRequest = "invalid-request"
    case unauthenticated
    case stepUpRequired = "step-up-required"
    case forbidden
    case notFound = "not-found"
    case methodNotAllowed = "method-not-allowed"
    case conflict
    case quotaExceeded = "quota-exceeded"
    case preconditionFailed = "precondition-failed"
    case preconditionRequired = "precondition-required"
    case tooLarge = "too-large"
    case unsupportedMediaType = "unsupported-media-type"
    case idempotencyMismatch = "idempotency-mismatch"
    case invalidDocument = "invalid-document"
    case tooManyRequests = "too-many-requests"
    case unavailable
    case failed

    /// The HTTP status the problem is answered with.
    package var status: Int {
        switch self {
        case .invalidRequest: 400
        case .unauthenticated, .stepUpRequired: 401
        case .forbidden: 403
        case .notFound: 404
        case .methodNotAllowed: 405
        case .conflict, .quotaExceeded: 409
        case .preconditionFailed: 412
        case .tooLarge: 413
        case .unsupportedMediaType: 415
        case .idempotencyMismatch, .invalidDocument: 422
        case .preconditionRequired: 428
        case .tooManyRequests: 429
        case .failed: 500
        case .unavailable: 503
        }
    }

    package func title(in language: Language) -> String {
        switch language {
        case .english: self.englishTitle
        case .french: self.frenchTitle
        }
    }

    private var englishTitle: String {
        switch self {
        case .invalidRequest: "The request is not valid"
        case .unauthenticated: "Authentication is required"
        case .stepUpRequired: "The second factor is required again"
        case .forbidden: "This is not allowed"
        case .notFound: "There is no such resource"
        case .methodNotAllowed: "The resource does not have this method"
        case .conflict: "The request conflicts with the present state"
        case .quotaExceeded: "A quota of the tenant is used up"
        case .preconditionFailed: "The resource has changed meanwhile"
        case .preconditionRequired: "The request must say which version it changes"
        case .tooLarge: "The request is too large"
        case .unsupportedMediaType: "The media type is not supported"
        case .idempotencyMismatch: "The idempotency key was used with another request"
        case .invalidDocument: "The document is not valid"
        case .tooManyRequests: "Too many requests"
        case .failed: "The platform failed"
        case .unavailable: "The platform is not able to do this now"
        }
    }

    private var frenchTitle: String {
        switch self {
        case .invalidRequest: "La requête n'est pas valide"
        case .unauthenticated: "Une authentification est nécessaire"
        case .stepUpRequired: "Le second facteur est à nouveau nécessaire"
        case .forbidden: "Ceci n'est pas autorisé"
        case .notFound: "Cette ressource n'existe pas"
        case .methodNotAllowed: "La ressource n'a pas cette méthode"
        case .conflict: "La requête est en conflit avec l'état actuel"
        case .quotaExceeded: "Un quota du locataire est épuisé"
        case .preconditionFailed: "La ressource a changé entre-temps"
        case .preconditionRequired: "La requête doit dire quelle version elle modifie"
        case .tooLarge: "La requête est trop grande"
        case .unsupportedMediaType: "Ce type de média n'est pas pris en charge"
        case .idempotencyMismatch: "La clé d'idempotence a servi à une autre requête"
        case .invalidDocument: "Le document n'est pas valide"
        case .tooManyRequests: "Trop de requêtes"
        case .failed: "La plateforme a échoué"
        case .unavailable: "La plateforme ne peut pas le faire maintenant"
        }
    }
}

/// The languages problems and pages speak.
package enum Language: String, Sendable {
    case english = "en"
    case french = "fr"

    /// The better of the two for an `Accept-Language` value (RFC 9110, 12.5.4); English where neither is asked for.
    package init(acceptLanguage: String?) {
        var best: (language: Language, weight: Double) = (.english, 0)
        for range in (acceptLanguage ?? "").split(separator: ",") {
            let parts: [Substring] = range.split(separator: ";")
            guard let tag: Substring = parts.first else { continue }
            var name: Substring = tag[...]
            while name.first == " " { name = name.dropFirst() }
            guard let language: Language = Language(rawValue: String(name.prefix(2)).lowercased()) else { continue }
            var weight: Double = 1
            for parameter in parts.dropFirst() {
                let text: [Substring] = parameter.split(separator: "=")
                if text.count == 2, text[0].last == "q", let value: Double = Double(String(text[1])) { weight = value }
            }
            if weight > best.weight { best = (language, weight) }
        }
        self = best.language
    }
}
