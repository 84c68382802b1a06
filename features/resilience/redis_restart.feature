@resilience @critical @database @redis
@nist_cp_4 @dora_24_26 @pci_dss_12_10 @iso_27001_a_5_29
Feature: Redis starts again from its own files
  Redis keeps an append-only file, written every second. A server that dies and comes back must have what it had, without any backup.

  Scenario: The Redis server is killed under load and starts again from its own append-only file
    Given the platform runs in two regions
    And Redis holds reference data
    And clients write to Redis
    And clients have written 50 more times to each store
    When the fault server-killed happens with stores: [redis], region: primary
    And the server of Redis in the primary region is started again
    Then every store answers through its public name
    And the reference data is unchanged
    And nothing acknowledged before the recovery point is missing
    And every acknowledged write is accounted for
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective
