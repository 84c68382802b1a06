@monthly @critical @configuration
Feature: Configuration recovery
  Manifests, environment and secrets are backed up daily. A wrong configuration is rolled out, and all secrets are replaced at once, so that
  nothing can log in any more. Both come back from the vault, compared with their backup before anything reads them.

  Background:
    Given the platform runs in two regions
    And the configuration holds reference data
    And Redis holds reference data
    And clients write to Redis
    And the configuration has a full backup

  Scenario: A wrong configuration is rolled out
    When the fault configuration-wrong happens
    And the configuration is restored from its latest backup
    Then the reference data is unchanged
    And the backups used were whole
    And the backups are kept for as long as the policy says
    And every store answers through its public name
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective

  Scenario: All secrets are replaced and nothing can log in
    When the fault secret-rotated-away happens
    And the configuration is restored from its latest backup
    Then the reference data is unchanged
    And the backups used were whole
    And the backups are kept for as long as the policy says
    And every store answers through its public name
    And the recovery time of each store meets its objective
    And the data loss of each store meets its objective
