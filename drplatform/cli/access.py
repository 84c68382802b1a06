"""`drplatform access`: the identities of least privilege that the vault's bucket should have."""

import json

import click

from drplatform.model import access


@click.group("access")
def group() -> None:
    """Identities of least privilege for the bucket of backups.

    \b
    drplatform access policy writer --bucket backups > writer.json
    aws iam put-user-policy --user-name drplatform-writer --policy-name writer --policy-document file://writer.json
    """


@group.command()
@click.argument("role", type=click.Choice([role.value for role in access.Role]))
@click.option("--bucket", required=True, help="The bucket that holds the backups.")
def policy(role: str, bucket: str) -> int:
    """Print the policy document of ROLE, for the S3 server to enforce.

    writer takes backups and never deletes; reader restores and verifies; pruner applies retention; auditor sees what there is.

    \b
    drplatform access policy pruner --bucket backups
    """
    click.echo(json.dumps(access.policy(access.Role(role), bucket), indent=2))
    return 0
