import EventLoops
import GatewayConfiguration
import HTTP
import Testing

@testable import Gateway

struct AddressBookTests {
    private static func place(_ text: String) throws -> TargetDefinitionPlace {
        TargetDefinitionPlace(try TargetURL(parsing: text), service: nil)
    }

    /// Server-side request forgery: what a tenant writes as a target is judged by the address it leads to.
    @Test(
        arguments: [
            ("http://127.0.0.1:1", true), ("http://10.1.2.3:1", true), ("http://[fd00::1]:1", true),
            ("http://169.254.169.254", false), ("http://[fe80::1]", false),
            ("http://[64:ff9b::a9fe:a9fe]", false), ("http://0.0.0.0:1", false), ("http://100.100.100.200", false),
            ("http://[fd00:ec2::254]", false), ("http://168.63.129.16", false), ("http://224.0.0.1", false),
        ])
    func aTargetIsNowhereWhereItMayNotBe(url: String, isThere: Bool) throws {
        let rules: EgressRules = EgressRules(allowsPrivate: true)
        let book: AddressBook = AddressBook(egress: { rules.verdict($0) })
        #expect(book.address(try Self.place(url)).isKnown == isThere)
    }

    /// The same for names, each time they are looked up: `localhost` is looked up like any other.
    @Test func aNameIsJudgedByWhatItLeadsTo() throws {
        for (rules, isThere) in [(EgressRules(), false), (EgressRules(allowsPrivate: true), true)] {
            let book: AddressBook = AddressBook(egress: { rules.verdict($0) })
            let address: TargetAddress = book.address(try Self.place("http://localhost:1"))
            book.refresh(onlyUnknown: true, now: MonotonicTime.now)
            #expect(address.isKnown == isThere)
        }
    }

    /// Names of configurations that are gone are not looked up for ever.
    @Test func namesThatNobodyNamesAreForgotten() throws {
        let book: AddressBook = AddressBook()
        let kept: TargetDefinitionPlace = try Self.place("http://127.0.0.1:1")
        let gone: TargetDefinitionPlace = try Self.place("http://127.0.0.1:2")
        let now: UInt64 = MonotonicTime.now
        let address: TargetAddress = book.address(kept)
        let old: TargetAddress = book.address(gone)
        book.name([kept, gone])
        book.name([kept])
        book.name([], droppingNamesOf: [kept, gone])
        #expect(book.count == 2)
        // Exchanges of the snapshot before still find the same object.
        #expect(book.address(gone) === old)
        let later: UInt64 = now &+ 3_600_000_000_000
        #expect(book.refresh(onlyUnknown: false, now: later).isEmpty)
        #expect(book.count == 1)
        #expect(book.address(kept) === address)
    }
}
