@resilience @critical @database @redis
@nist_cp_4 @dora_24_26 @pci_dss_12_10 @iso_27001_a_5_29
Feature: The vault is lost for a while
  While the vault does not answer, nothing new is protected, and users must not notice. When it is back, capture goes on from where it was,
  and a disaster after that loses no more than one at any other time.

  Scenario: The vault is away, comes back, and then the Redis servers are lost
    Given the platform runs in two regions
    And Redis holds reference data
    And clients write to Redis
    And Redis has a snapshot backup
    And the log of Redis is captured continuously
    And clients have written 50 more times to each store
    When the fault vault-unreachable happens
    And clients have written 500 more times to each store
    And the disaster is over
    And clients have written 100 more times to each store
    And the Redis server of the primary region is killed and its disk is lost
    And recovery from backups brings back Redis as of its latest backup
    Then every store answers through its public name
    And the backups used were whole
    And the reference data is unchanged
    And nothing acknowledged before the recovery point is missing
    And every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective

  # The vault stood in the primary region: taking over needs neither its backups nor a key. It must be back before the lost region rejoins,
  # whose disks are saved into it before they are given up.
  @mongodb @files @iso_27001_a_8_14
  Scenario: The primary region is cut off with the vault in it, and the secondary takes over without either
    Given the platform runs in two regions with a witness, behind public names
    And MongoDB, Redis and file storage hold reference data
    And file storage is replicated to the secondary region
    And clients write to MongoDB, Redis and file storage
    And clients have written 50 more times to each store
    When the fault vault-unreachable happens
    And the network to the MongoDB, Redis and file storage servers of the primary region is cut
    And the platform fails over to the secondary region
    And clients have written 50 more times to each store
    And the disaster is over
    And the primary region comes back as a follower
    Then every store answers through its public name
    And exactly one server of each replicated store accepts writes
    And the reference data is unchanged
    And what the lost region alone had was saved
    And nothing acknowledged after the change of regions is missing
    And every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective
