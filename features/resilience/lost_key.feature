@resilience @critical @database @redis
@nist_cp_4 @nist_cp_9 @dora_24_26 @pci_dss_12_10 @iso_27001_a_5_29
Feature: The key of the backups is lost
  Encrypted backups are worth as much as the key that opens them. The machine that held it is gone together with the data; holders of shares
  bring it back, fewer of them do not, and the recovery goes on with what they brought.

  Scenario: Redis and the key are lost, and three of five holders bring the key back
    Given the platform runs in two regions
    And Redis holds reference data
    And clients write to Redis
    And Redis has a snapshot backup
    And the log of Redis is captured continuously
    And clients have written 50 more times to each store
    When the Redis server of the primary region is killed and its disk is lost
    And the key of the backups is lost and 3 of 5 holders bring it back
    And recovery from backups brings back Redis as of its latest backup
    Then every store answers through its public name
    And the backups used were whole
    And the reference data is unchanged
    And every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective
