import REST

/// What the pages about second factors say.
enum FactorText: Sendable {
    case challenge, challengeAsk, code, codeHelp, next, wrongCode, tooManyCodes, usePasskey, passkeyFailed,
        passkeyRefused
    case signInByPasskey, passkeyUnknown, passkeyNeedsScript
    case title, required, goOn
    case app, appNone, appThere, addApp, removeApp, scan, picture, key, keyHelp, confirm
    case passkeys, passkeysNone, passkeyName, addPasskey, rename(String), remove(String), passkeySince(String),
        suspended
    case newName(String), badName, defaultName
    case recovery, codesLeft(Int), newCodes, codesTitle, codesHelp, kept
    case failed

    func text(_ language: Language) -> String { language == .french ? self.french : self.english }

    private var english: String {
        switch self {
        case .challenge: "Second step"
        case .challengeAsk: "Show that it is you by your second factor."
        case .code: "Code"
        case .codeHelp: "The six digits that your authenticator app shows, or one of your recovery codes."
        case .next: "Continue"
        case .wrongCode: "The code is wrong, or was used before."
        case .tooManyCodes: "Too many wrong codes. Try again later."
        case .usePasskey: "Use a passkey"
        case .passkeyFailed: "The browser could not use a passkey. Try again, or choose another way."
        case .passkeyRefused: "This passkey is not accepted. Choose another way."
        case .signInByPasskey: "Sign in with a passkey"
        case .passkeyUnknown: "This passkey does not open anything here. Sign in another way."
        case .passkeyNeedsScript: "Adding a passkey needs JavaScript and a browser that has passkeys."
        case .title: "Second factor"
        case .required: "Your roles ask for a second factor. Set one up to go on."
        case .goOn: "Go on"
        case .app: "Authenticator app"
        case .appNone: "No authenticator app is set up."
        case .appThere: "An authenticator app is set up."
        case .addApp: "Set up an authenticator app"
        case .removeApp: "Remove the authenticator app"
        case .scan:
            "Scan the picture with your authenticator app, or type the key into it. Then enter the code it shows."
        case .picture: "QR code with the key below"
        case .key: "Key"
        case .keyHelp: "Time-based, six digits, every 30 seconds."
        case .confirm: "Confirm"
        case .passkeys: "Passkeys"
        case .passkeysNone: "You have no passkey."
        case .passkeyName: "Name of the passkey"
        case .addPasskey: "Add a passkey"
        case .rename(let name): "Rename \(name)"
        case .remove(let name): "Remove \(name)"
        case .passkeySince(let date): "since \(date)"
        case .suspended: "Not accepted any more: it seems to exist twice. Remove it."
        case .newName(let name): "Another name for \(name)"
        case .badName: "A name has 1 to 64 characters."
        case .defaultName: "My passkey"
        case .recovery: "Recovery codes"
        case .codesLeft(let count): count == 1 ? "One recovery code is left." : "\(count) recovery codes are left."
        case .newCodes: "Make new recovery codes"
        case .codesTitle: "Your recovery codes"
        case .codesHelp:
            "Each of them works once in place of your second factor. Keep them in a safe place: they are shown only now."
        case .kept: "I have kept them"
        case .failed: "This was not possible. Try again."
        }
    }

    private var french: String {
        switch self {
        case .challenge: "Deuxième étape"
        case .challengeAsk: "Montrez que c'est bien vous avec votre second facteur."
        case .code: "Code"
        case .codeHelp: "Les six chiffres de votre application d'authentification, ou un de vos codes de secours."
        case .next: "Continuer"
        case .wrongCode: "Le code est faux ou a déjà servi."
        case .tooManyCodes: "Trop de codes faux. Réessayez plus tard."
        case .usePasskey: "Utiliser une clé d'accès"
        case .passkeyFailed:
            "Le navigateur n'a pas pu utiliser de clé d'accès. Réessayez ou choisissez un autre moyen."
        case .passkeyRefused: "Cette clé d'accès n'est pas acceptée. Choisissez un autre moyen."
        case .signInByPasskey: "Se connecter avec une clé d'accès"
        case .passkeyUnknown: "Cette clé d'accès n'ouvre rien ici. Connectez-vous autrement."
        case .passkeyNeedsScript: "Ajouter une clé d'accès demande JavaScript et un navigateur qui en a."
        case .title: "Second facteur"
        case .required: "Vos rôles demandent un second facteur. Configurez-en un pour continuer."
        case .goOn: "Poursuivre"
        case .app: "Application d'authentification"
        case .appNone: "Aucune application d'authentification n'est configurée."
        case .appThere: "Une application d'authentification est configurée."
        case .addApp: "Configurer une application d'authentification"
        case .removeApp: "Retirer l'application d'authentification"
        case .scan:
            "Scannez l'image avec votre application d'authentification, ou saisissez-y la clé. Entrez ensuite le code affiché."
        case .picture: "Code QR de la clé ci-dessous"
        case .key: "Clé"
        case .keyHelp: "Basée sur l'heure, six chiffres, toutes les 30 secondes."
        case .confirm: "Confirmer"
        case .passkeys: "Clés d'accès"
        case .passkeysNone: "Vous n'avez pas de clé d'accès."
        case .passkeyName: "Nom de la clé d'accès"
        case .addPasskey: "Ajouter une clé d'accès"
        case .rename(let name): "Renommer \(name)"
        case .remove(let name): "Retirer \(name)"
        case .passkeySince(let date): "depuis le \(date)"
        case .suspended: "N'est plus acceptée : elle semble exister en double. Retirez-la."
        case .newName(let name): "Autre nom pour \(name)"
        case .badName: "Un nom a de 1 à 64 caractères."
        case .defaultName: "Ma clé d'accès"
        case .recovery: "Codes de secours"
        case .codesLeft(let count): count == 1 ? "Il reste un code de secours." : "Il reste \(count) codes de secours."
        case .newCodes: "Créer de nouveaux codes de secours"
        case .codesTitle: "Vos codes de secours"
        case .codesHelp:
            "Chacun remplace une fois votre second facteur. Gardez-les en lieu sûr : ils ne sont montrés que maintenant."
        case .kept: "Je les ai gardés"
        case .failed: "Cela n'a pas été possible. Réessayez."
        }
    }
}
