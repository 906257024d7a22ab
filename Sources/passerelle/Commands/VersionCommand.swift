import JSON

/// What this binary is.
enum Version {
    static let text: String = "0.1.0"
}

enum VersionCommand {
    static let version: Command = Command(
        "version", summary: "The version of this binary", example: "passerelle version --output json"
    ) { _, console in
        switch console.format {
        case .json: console.printJSON(.object(["version": .string(Version.text)]))
        case .table: console.print("passerelle \(Version.text)")
        }
    }
}
